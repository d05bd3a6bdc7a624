from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measure import Plan
from benchmarks.peers import PEERS, llama_build
from benchmarks.peers import peer as peer_module
from benchmarks.peers.llama_build import PROGRAMS, gguf, program
from benchmarks.peers.peer import Place, run, venv
from benchmarks.run import bench, main
from benchmarks.server import Launch, NotStarted


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "peers", tmp_path / "Model", threads=2)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Command lines instead of their effects; an environment has an interpreter and the commands asked for."""
    commands: list[tuple[str, ...]] = []

    def pretend(*command: str) -> None:
        commands.append(command)
        if command[1:3] == ("-m", "venv"):
            (Path(command[3]) / "bin").mkdir(parents=True)

    monkeypatch.setattr(peer_module, "run", pretend)
    return commands


def test_every_peer_serves_the_model_on_the_port(place: Place, ran: list[tuple[str, ...]]) -> None:
    for name, peer in PEERS.items():
        launch = peer.launch(place, 4321)
        assert "4321" in launch.command, name
        files = [str(gguf(place, weights)) for weights in ("bf16", "Q8_0", "Q4_K_M")]
        served = [part for part in launch.command if part in (str(place.model), *files)]
        assert len(served) == 1, name
        ours = name.startswith("kvproxy")
        assert launch.model in (
            ("model", str(place.model)) if not ours else (Path(served[0]).name.lower().removesuffix(".gguf"),)
        )
        assert launch.own_python is not ours


def test_both_serve_one_quantised_file_of_the_models_own_weights(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[tuple[str, ...]] = []

    def pretend(*command: str) -> None:
        commands.append(command)
        for part in command:
            if part.endswith(".part"):
                Path(part).touch()

    for name in PROGRAMS:
        program(place, name).parent.mkdir(parents=True, exist_ok=True)
        program(place, name).touch()
    (place.folder / "llama" / "llama.cpp").mkdir()
    monkeypatch.setattr(llama_build, "run", pretend)
    monkeypatch.setattr(llama_build, "python", lambda place: Path("python"))
    PEERS["llama.cpp-q4_k"].install(place)
    PEERS["kvproxy-q4_k"].install(place)
    convert, quantise = commands
    assert convert[0] == "python" and str(place.model) in convert
    whole, part, weights = quantise[1:4]
    assert (whole, weights) == (str(gguf(place, "bf16")), "Q4_K_M")
    assert gguf(place, "Q4_K_M").exists() and not Path(part).exists()


def test_an_environment_is_made_once(place: Place, ran: list[tuple[str, ...]]) -> None:
    python = venv(place.folder / "env", ("one==1",), ("two==2", "three==3"), remove=("four",))
    assert [command[2:] for command in ran] == [
        ("venv", str(place.folder / "env")),
        ("pip", "install", "--quiet", "--disable-pip-version-check", "one==1"),
        ("pip", "install", "--quiet", "--disable-pip-version-check", "two==2", "three==3"),
        ("pip", "uninstall", "--quiet", "--yes", "four"),
    ]
    ran.clear()
    assert venv(place.folder / "env", ("one==1",), ("two==2", "three==3"), remove=("four",)) == python
    assert ran == []
    venv(place.folder / "env", ("one==2",))  # other versions: another environment
    assert len(ran) == 2


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(NotStarted, match="no such option"):
        run("sh", "-c", "echo no such option >&2; exit 2")
    with pytest.raises(NotStarted, match="No such file"):
        run("/no/such/command")


def test_a_peer_that_does_not_start_stops_nobody(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def not_there(place: Place) -> None:
        raise NotStarted("no compiler")

    def ends(place: Place, port: int) -> Launch:
        return Launch(["sh", "-c", "echo out of memory; exit 1"], "model")

    monkeypatch.setattr(PEERS["llama.cpp"], "install", not_there)
    monkeypatch.setattr(PEERS["vllm"], "install", lambda place: None)
    monkeypatch.setattr(PEERS["vllm"], "launch", ends)
    out = tmp_path / "out.json"
    options = ["--folder", str(tmp_path / "p"), "--model", str(tmp_path), "--out", str(out)]
    with pytest.raises(SystemExit, match="1"):
        main(["--peers", "llama.cpp", "vllm", "--quick", *options])
    said = capsys.readouterr().out
    assert "- llama.cpp, start: no compiler" in said
    assert "out of memory" in said
    assert out.exists()
    assert bench(PEERS["llama.cpp"], place, Plan({255: 1}), "text").faults == {"start": "no compiler"}


@pytest.mark.parametrize("option", ["--model", "--text", "--out"])
def test_files_that_cannot_be_used_are_known_before(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.run.bench", lambda *_: pytest.fail("it was measured"))
    wrong = tmp_path if option == "--out" else tmp_path / "missing"
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(tmp_path / "out.json"), option, str(wrong)])
    assert ended.value.code == 2 and f"argument {option}: " in capsys.readouterr().err

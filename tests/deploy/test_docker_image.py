"""The image without docker: what its steps name exists, whom it runs as, what its check of health says; a linter and a
run of its first steps in an empty folder are slow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path

import pytest

from deploy.fleet_requirements import ENGINE, requirements
from tests.deploy.dockerfile import DOCKERFILE, ROOT, STAGES, TARGETS, copied, lineage

HADOLINT = ROOT / ".deploy-tools" / "bin" / "hadolint"


def ignored(path: str) -> bool:
    """Whether .dockerignore, which names what is let in, keeps a path out of the context."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = [line[1:] for line in lines if line.startswith("!")]
    return not any(path == one or path.startswith(f"{one}/") for one in let_in)


def variables(target: str) -> dict[str, str]:
    found = {}
    for stage in lineage(target):
        for line in stage.all("ENV"):
            found.update(dict(pair.split("=", 1) for pair in line.split()))
    return found


def test_every_file_that_is_copied_exists_and_is_in_the_context() -> None:
    assert "kvproxy" in copied() and len(copied()) >= 6
    for path in copied():
        assert (ROOT / path).exists(), path
        assert not ignored(path), path
    assert ignored("tests/x.py") and ignored(".git/config") and ignored("config.yaml")
    assert "*" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_the_wheels_build_has_every_file_that_it_needs() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for needed in ("README.md", "LICENSE", "deploy/build_hook.py", "examples/documents"):
        assert needed in project and needed in copied()


def test_bases_are_pinned_and_no_registry_is_named() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert re.findall(r"^ARG PYTHON_IMAGE=(.*)$", text, re.MULTILINE) == ["python:3.11.14-slim-bookworm"]
    assert {stage.base for stage in STAGES.values()} <= {"${PYTHON_IMAGE}", *STAGES}
    assert set(re.findall(r"https?://[\w.]+", text)) == {"http://127.0.0.1"}


@pytest.mark.parametrize("target", TARGETS)
def test_it_runs_as_a_user_who_is_not_root(target: str) -> None:
    users = [user for stage in lineage(target) for user in stage.all("USER")]
    assert users == ["10001:10001"] and STAGES[target].steps[-1] == ("USER", "10001:10001")
    run = " ".join(step for stage in lineage(target) for step in stage.all("RUN"))
    assert "--uid 10001" in run and "--gid 10001" in run
    assert ("gcc" in run) is (target == "cuda")


@pytest.mark.parametrize("target", TARGETS)
def test_it_writes_below_its_volume_alone(target: str) -> None:
    assert [v for stage in lineage(target) for v in stage.all("VOLUME")] == ["/var/lib/kvproxy"]
    homes = {name: value for name, value in variables(target).items() if "HOME" in name or "DIR" in name}
    assert len(homes) == 6
    assert all(value.startswith("/var/lib/kvproxy") for value in homes.values())


@pytest.mark.parametrize("target", TARGETS)
def test_signals_reach_the_proxy(target: str) -> None:
    steps = dict(step for stage in lineage(target) for step in stage.steps)
    assert json.loads(steps["ENTRYPOINT"]) == ["/opt/kvproxy/bin/kvproxy"]
    assert json.loads(steps["CMD"]) == ["serve", "--host", "0.0.0.0"]
    assert steps["STOPSIGNAL"] == "SIGTERM"


def test_downloads_stay_out_of_layers() -> None:
    installing = [run for stage in STAGES.values() for run in stage.all("RUN") if "pip install" in run]
    assert len(installing) == len(TARGETS)
    assert all(run.startswith("--mount=type=cache,target=/root/.cache/pip ") for run in installing)
    assert all("--no-cache-dir" in run for run in STAGES["wheel"].all("RUN"))


def test_only_the_engines_images_have_the_engine() -> None:
    installed = {name: " ".join(STAGES[f"packages-{name}"].all("RUN")) for name in TARGETS}
    assert "torch" not in installed["fleet"] and "fleet_requirements.py" in installed["fleet"]
    assert "$CPU_TORCH_INDEX" in installed["cpu"] and "INDEX" not in installed["cuda"]
    for name, commands in installed.items():
        assert "-c /src/constraints.txt" in commands, name


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_check_of_health_asks_whether_it_is_ready(status: int, code: int) -> None:
    [check] = STAGES["run"].all("HEALTHCHECK")
    _, script, program = json.loads(check.partition(" CMD ")[2])
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request).start()
        url = {"KVPROXY_URL": f"http://127.0.0.1:{server.server_port}"}
        done = subprocess.run([sys.executable, script, program], env=url, capture_output=True, check=False)
    assert (done.returncode, asked) == (code, ["/health/ready"])


def test_a_fleets_proxy_needs_all_but_the_engine() -> None:
    text = "".join(f"Requires-Dist: {line}\n" for line in metadata.requires("kvproxy") or ())
    wanted = requirements(text)
    names = {re.split(r"[\[<>=!~ ]", one)[0] for one in wanted}
    assert not names & ENGINE and {"aiohttp", "tokenizers", "pyzmq", "psycopg", "obstore"} <= names
    assert not names & {"pytest", "matplotlib", "mypy"}
    with pytest.raises(ValueError, match="python_version"):
        requirements("Requires-Dist: x; python_version < '3'\n")


@pytest.mark.slow
def test_the_linter_has_nothing_to_say() -> None:
    done = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def there(command: str, folder: Path) -> str:
    """A step of the Dockerfile as it is run below ``folder`` instead of /."""
    return re.sub(r"(?<![\w./])/(src|wheels|opt)\b", rf"{folder}/\1", command)


def step_in(folder: Path, instruction: str, arguments: str) -> None:
    """Do what a build does at a step, in ``folder`` instead of /."""
    work = folder / "src"
    if instruction == "COPY":
        *sources, target = arguments.split()
        for source in sources:
            to = work / target / (Path(source).name if target.endswith("/") else "")
            to.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
            else:
                shutil.copy(ROOT / source, to)
    elif instruction == "RUN":
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(
            ["sh", "-ec", there(arguments, folder)], cwd=work, env={**clean, "PATH": path}, check=True
        )


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_steps_of_the_wheel_in_an_empty_folder(tmp_path: Path) -> None:
    """As a build does them: with what is copied and nothing else, by the compiler that a wheel brings. The result has
    the kernels, and they load."""
    (tmp_path / "src").mkdir()
    for instruction, arguments in STAGES["wheel"].steps:
        step_in(tmp_path, instruction, arguments)
    [wheel] = (tmp_path / "wheels").glob("kvproxy-*.whl")
    assert "manylinux_2_17" in wheel.name
    with zipfile.ZipFile(wheel) as packed:
        assert "kvproxy/engine/native/libkvproxy_kernels.so" in packed.namelist()
        packed.extractall(tmp_path / "installed")
    printed = subprocess.run(
        [sys.executable, ROOT / "deploy" / "fleet_requirements.py", tmp_path / "wheels"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "aiohttp" in printed and "torch" not in printed
    program = (
        "import kvproxy, kvproxy.engine.native.kernel_library as k\n"
        "print(kvproxy.__file__, type(k.load_kernels()).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(tmp_path / "installed" / "kvproxy" / "__init__.py"), "Kernels"]

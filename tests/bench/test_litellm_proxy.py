from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest
import yaml

from kvproxy.bench.litellm_proxy import REQUIREMENTS, VERSION, install, litellm_proxy
from kvproxy.errors import SetupError

STANDS_IN = """#!{python}
import http.server, json, os, pathlib, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = {{"argv": sys.argv[1:], "mode": os.environ["LITELLM_MODE"]}}
        self.send_response(200 if self.path in ("/health/liveliness", "/told") else 404)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


class Commands:
    """A stand-in for venv and pip that writes their results; ``fail`` makes pip break off."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.fail = False

    def __call__(self, command: tuple[str, ...]) -> None:
        self.ran.append(command)
        if "venv" in command:
            (Path(command[-1]) / "bin").mkdir(parents=True)
            return
        (Path(command[0]).parent / "litellm").touch()
        if self.fail:
            raise SetupError("no network")


def test_it_is_installed_once(tmp_path: Path) -> None:
    commands, said = Commands(), list[str]()
    command = install(tmp_path, said.append, commands)
    assert command.is_file() and command.is_relative_to(tmp_path)
    assert [c[:3] for c in commands.ran] == [
        (sys.executable, "-m", "venv"),
        (str(command.with_name("python")), "-m", "pip"),
    ]
    assert set(REQUIREMENTS) < set(commands.ran[1])
    assert not any("index" in argument for argument in commands.ran[1])
    assert len(said) == 1 and VERSION in said[0]
    assert install(tmp_path, said.append, commands) == command
    assert (len(commands.ran), len(said)) == (2, 1)


def test_half_an_installation_is_made_again(tmp_path: Path) -> None:
    commands = Commands()
    commands.fail = True
    with pytest.raises(SetupError, match="no network"):
        install(tmp_path, lambda _: None, commands)
    commands.fail = False
    assert install(tmp_path, lambda _: None, commands).is_file()
    assert len(commands.ran) == 4


def test_a_failed_installation_says_how_to_do_without(tmp_path: Path) -> None:
    blocker = tmp_path / "bench"
    blocker.mkdir()
    (blocker / f"litellm-proxy-{VERSION}").touch()  # a file where the folder should be
    with pytest.raises(SetupError, match="--no-litellm-proxy leaves it out"):
        install(tmp_path, lambda _: None)


def test_it_is_started_with_one_worker_and_a_key(tmp_path: Path) -> None:
    command = tmp_path / "litellm"
    command.write_text(STANDS_IN.format(python=sys.executable))
    command.chmod(0o755)
    with litellm_proxy(command, tmp_path, upstream="http://up/v1", model="bench", key="sk-x") as proxy:
        told = httpx.get(f"{proxy.url}/told", trust_env=False).json()
    assert told["mode"] == "PRODUCTION"
    assert told["argv"][told["argv"].index("--num_workers") + 1] == "1"
    config = yaml.safe_load(Path(told["argv"][told["argv"].index("--config") + 1]).read_text())
    assert config["general_settings"] == {"master_key": "sk-x"}
    (model,) = config["model_list"]
    assert model["model_name"] == "bench"
    assert model["litellm_params"] == {
        "model": "openai/bench",
        "api_base": "http://up/v1",
        "api_key": "sk-x",
    }

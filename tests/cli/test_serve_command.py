"""`kvproxy serve`: what it says and writes once requests are served."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

import kvproxy.serve
from kvproxy.cli.app import app

SERVED = 7


@pytest.mark.parametrize(
    ("bound", "url"),
    [
        (("127.0.0.1", 8321), "http://127.0.0.1:8321"),
        (("0.0.0.0", 8321), "http://127.0.0.1:8321"),
        (("::", 8321), "http://[::1]:8321"),
        (("fd00::7", 80), "http://[fd00::7]:80"),
    ],
)
def test_the_address_is_said_and_written_as_clients_use_it(
    bound: tuple[str, int], url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def run_server(settings: Any, *, announce: Any, progress: Any) -> int:
        asked.append(settings)
        announce(*bound)
        return SERVED

    monkeypatch.setattr(kvproxy.serve, "run_server", run_server)
    where = tmp_path / "url"
    options = ["--model", "small", "--store", str(tmp_path), "--port", "0", "--announce-file", str(where)]
    ended = CliRunner().invoke(app, ["serve", *options])
    assert ended.exit_code == SERVED, "the server's own status"
    assert where.read_text() == url + "\n"
    assert f"serving small at {url}/v1" in ended.stderr
    assert asked[0].server.port == 0 and asked[0].store.path == tmp_path


def test_a_fleet_alone_has_no_model_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = SimpleNamespace(settings=None)

    def run_server(settings: Any, **_: Any) -> int:
        asked.settings = settings
        return 0

    monkeypatch.setattr(kvproxy.serve, "run_server", run_server)
    options = ["--fleet", "http://127.0.0.1:8000", "--model", "Qwen/Qwen3-4B", "--store", str(tmp_path)]
    assert CliRunner().invoke(app, ["serve", *options]).exit_code == 0
    assert asked.settings is not None
    (fleet,) = asked.settings.fleets
    assert fleet.model == "Qwen/Qwen3-4B" and asked.settings.served_names == (fleet.name,)

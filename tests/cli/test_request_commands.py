"""``kvproxy explain`` and ``kvproxy watch`` against a proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kvproxy.cli.app import app
from tests.fake_proxy import FakeProxy, running
from tests.terminal.test_explanation_text import TOLD


@pytest.fixture
def proxy() -> Iterator[FakeProxy]:
    with running() as proxy:
        proxy.explanation = TOLD
        yield proxy


def run(*arguments: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def test_a_request_from_a_file_or_stdin(proxy: FakeProxy, tmp_path: Path) -> None:
    body = {"messages": [{"role": "user", "content": "q"}]}
    path = tmp_path / "request.json"
    path.write_text(json.dumps(body))
    told = run("explain", str(path), "--url", proxy.url)
    assert told.exit_code == 1, "a miss"
    assert "cause: timestamp - a date differs" in told.stdout and "^" in told.stdout
    run("explain", str(path), "--against", "handbook@3", "--url", proxy.url)
    as_json = run("explain", "-", "--previous", "--json", "--url", proxy.url, stdin=json.dumps(body))
    assert json.loads(as_json.stdout) == TOLD
    assert proxy.explained == [body, {**body, "against": "handbook@3"}, {**body, "previous": True}]


def test_a_hit_is_status_0(proxy: FakeProxy, tmp_path: Path) -> None:
    proxy.explanation = {**TOLD, "outcome": "hit"}
    (tmp_path / "r.json").write_text("{}")
    assert run("explain", str(tmp_path / "r.json"), "--url", proxy.url).exit_code == 0


@pytest.mark.parametrize("text", ["no json", "[]"])
def test_what_is_no_request_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    told = run("explain", str(tmp_path / "r.json"))
    assert told.exit_code == 2 and "what a client would send" in told.stderr
    assert run("explain", str(tmp_path / "none.json")).exit_code == 2


def test_against_and_previous_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("{}")
    assert run("explain", str(tmp_path / "r.json"), "--against", "a", "--previous").exit_code == 2

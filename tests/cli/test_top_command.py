"""``kvproxy top`` and ``kvproxy status`` against proxies that are ready, that are not, and that are not there."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from rich.console import Console, RenderableType
from rich.text import Text
from typer.testing import CliRunner

from kvproxy.cli import top_command
from kvproxy.cli.app import app
from kvproxy.client import Client, RequestFailed
from tests.terminal.overviews import HIT, MISS, OVERVIEW

NOT_READY = {"error": {"message": "Not ready: it is loading.", "type": "server_error", "code": "not_ready"}}
NO_KEY = {"error": {"message": "You didn't provide an API key.", "type": "x", "code": "invalid_api_key"}}


class Answers:
    """The answers of a proxy by path, and the questions that it was asked."""

    def __init__(self) -> None:
        self.by_path: dict[str, tuple[int, Any]] = {
            "/health/ready": (200, {"status": "ready"}),
            "/kv/v1/overview": (200, OVERVIEW),
            "/kv/v1/requests": (200, {"object": "list", "data": [MISS | {"outcome": "miss"}, HIT]}),
            "/kv/v1/misses": (200, {"object": "list", "data": [MISS]}),
        }
        self.asked: list[str] = []
        self.there = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not self.there:
            raise httpx.ConnectError("refused", request=request)
        self.asked.append(f"{request.url.path}?{request.url.query.decode()}")
        status, body = self.by_path[request.url.path]
        return httpx.Response(status, json=body)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    answers = Answers()
    made = Client.__init__

    def connected(self: Client, url: str | None = None, key: str | None = None) -> None:
        made(self, url, key, transport=httpx.MockTransport(answers))

    monkeypatch.setattr(Client, "__init__", connected)
    yield answers


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_one_frame_without_a_terminal(proxy: Answers) -> None:
    told = run("top")
    assert told.exit_code == 0
    assert "tokens skipped" in told.stdout and told.stdout.index("3,774 of 3,800") < told.stdout.index(
        "0 of 900"
    )
    assert proxy.asked == ["/kv/v1/overview?points=60", "/kv/v1/requests?last=10"]


def test_all_tenants_are_shown_with_their_misses(proxy: Answers) -> None:
    assert "bob timestamp" in run("top", "--once", "--tenant", "all").stdout
    assert proxy.asked == ["/kv/v1/overview?points=60&tenant=all", "/kv/v1/misses?most=10&tenant=all"]


def test_top_without_a_proxy_is_one_line(proxy: Answers) -> None:
    proxy.there = False
    told = run("top")
    assert told.exit_code == 1 and told.stderr.startswith("kvproxy: no proxy answers at")


def test_the_last_figures_of_a_proxy_that_goes_away_stay_below_the_reason(proxy: Answers) -> None:
    def shown(told: RenderableType) -> str:
        console = Console(width=100, file=io.StringIO(), record=True)
        console.print(told)
        return console.export_text()

    with Client("http://proxy") as client:
        screen = top_command.Screen(client, None, Text("the first frame"))
        proxy.there = False
        away = shown(screen.again(80))
        assert "no proxy answers at http://proxy" in away and "the first frame" in away
        proxy.there = True
        back = shown(screen.again(80))
        assert "no proxy" not in back and "tokens skipped" in back
        proxy.there = False
        assert "tokens skipped" in shown(screen.again(80)), "the figures that were seen last"


def test_status_of_a_ready_proxy(proxy: Answers) -> None:
    told = run("status")
    assert told.exit_code == 0 and "ready" in told.stdout and "small-model" in told.stdout
    as_json = json.loads(run("status", "--json").stdout)
    assert as_json["ready"] and as_json["reason"] is None and as_json["overview"]["models"] == ["small-model"]


def test_status_of_one_that_is_not_ready(proxy: Answers) -> None:
    proxy.by_path["/health/ready"] = (503, NOT_READY)
    told = run("status")
    assert told.exit_code == 1 and "Not ready: it is loading." in told.stdout and "small-model" in told.stdout
    assert json.loads(run("status", "--json").stdout)["reason"] == "Not ready: it is loading."


def test_status_of_one_that_is_not_there(proxy: Answers) -> None:
    proxy.there = False
    told = run("status", "--json")
    assert told.exit_code == 2
    assert "no proxy answers" in json.loads(told.stdout)["reason"]
    assert run("status").exit_code == 2


def test_status_without_a_key_says_what_it_lacks(proxy: Answers) -> None:
    proxy.by_path["/kv/v1/overview"] = (401, NO_KEY)
    told = run("status")
    assert told.exit_code == 0 and "no figures: You didn't provide an API key." in told.stdout


def test_the_calls_say_what_was_refused(proxy: Answers) -> None:
    proxy.by_path["/kv/v1/misses"] = (401, NO_KEY)
    with Client("http://proxy") as client, pytest.raises(RequestFailed, match="API key"):
        client.misses(cause="timestamp", tenant="ann")
    assert proxy.asked == ["/kv/v1/misses?most=20&cause=timestamp&tenant=ann"]

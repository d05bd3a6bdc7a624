from __future__ import annotations

import asyncio
import json

import pytest

from tests.cli.test_app import call
from tests.server.doubles import Http, client_of, make_proxy
from tests.server.routes.test_documents_route import publish


async def run(http: Http, *arguments: str) -> tuple[int, str, str]:
    at = ("--url", str(http.make_url("/")).rstrip("/"))
    return await asyncio.to_thread(call, "docs", *arguments, *at)


async def test_pin_unpin_and_warm_by_the_command_line() -> None:
    async with client_of(make_proxy()) as http:
        await publish(http)
        await publish(http, id="other")
        status, out, _ = await run(http, "pin", "law/handbook@1")
        assert (status, out) == (0, "law/handbook@1: 1 of 1 pages pinned; 0 of your 1 are left\n")
        status, _, err = await run(http, "pin", "other")
        assert status == 1 and "documents may pin 0 more" in err
        status, out, _ = await run(http, "pin", "other", "--partial")
        assert status == 3 and "your documents pin as many pages as they may" in out
        status, out, _ = await run(http, "unpin", "law/handbook")
        assert status == 0 and "0 of 1 pages pinned; 1 of your 1 are left" in out
        status, out, _ = await run(http, "warm", "other")
        assert status == 0 and "1,100 tokens in memory, 0 before: 1,100 loaded, 0 computed, in 0.5 s" in out
        status, out, _ = await run(http, "warm", "other", "--json")
        assert status == 0 and json.loads(out)["loaded"] == 1100
        status, _, err = await run(http, "warm", "nope")
        assert status == 1 and "nope" in err


def test_a_fleets_pin_is_best_effort_and_counts_no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "document": "handbook@1",
        "asked": 0,
        "pinned": 0,
        "limit": None,
        "room": 9,
        "budget": 9,
        "framings": [],
    }
    monkeypatch.setattr("kvproxy.client.Client.pin", lambda *_, **__: told)
    monkeypatch.setattr("kvproxy.client.Client.unpin", lambda *_: told)
    pinned = "handbook@1: pinned, best effort: replicas keep it while they have room\n"
    assert call("docs", "pin", "handbook") == (0, pinned, "")
    assert call("docs", "unpin", "handbook") == (0, "handbook@1: pinned no more\n", "")

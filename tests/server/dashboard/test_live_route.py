"""The stream of live fragments over HTTP: what is in it, and how it ends."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from kvproxy.core import Permission
from kvproxy.server.dashboard import live_updates
from kvproxy.server.dashboard.dashboard_route import DASHBOARD
from kvproxy.server.dashboard.dashboard_session import COOKIE, LIFETIME_S, DashboardSession
from tests.server.dashboard.browsing import Browser, browsing
from tests.server.doubles import ask, eventually, make_proxy
from tests.server.markets import BOSS, bearer, market_proxy

ALICE = ("alice", "key-0123456789abcdef")
BOB = ("bob", "key-bbbbbbbbbbbbbbbb")
READ: frozenset[Permission] = frozenset({"read"})
STREAM = {"Accept": "text/event-stream"}
OPEN = "/ui/events?live=overview-figures,requests-rows,nothing"


@asynccontextmanager
async def events(browser: Browser, path: str = OPEN, **options: Any) -> AsyncIterator[ClientResponse]:
    async with browser.http.get(path, headers=STREAM | options.pop("headers", {}), **options) as answer:
        assert answer.status == 200, await answer.text()
        yield answer


async def next_event(answer: ClientResponse) -> tuple[str, dict[str, Any]]:
    """Return the next event's name and data; an empty name at the end."""
    name = ""
    async for line in answer.content:
        if line.startswith(b"event: "):
            name = line[7:].decode().strip()
        elif line.startswith(b"data: "):
            return name, json.loads(line[6:])
    return "", {}


async def fragment(answer: ClientResponse, wanted: str, holding: str) -> str:
    """Read on until the fragment holds a text."""
    while True:
        name, data = await next_event(answer)
        assert name == "fragment", name
        if data["name"] == wanted and holding in data["html"]:
            return str(data["html"])


async def test_a_request_appears_as_it_ends_and_only_to_its_tenant() -> None:
    proxy = make_proxy(api_keys=(ALICE, BOB), permissions={"alice": READ, "bob": READ})
    async with browsing(proxy) as browser:
        await browser.log_in(ALICE[1])
        async with events(browser) as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            assert "no-store" in stream.headers["Cache-Control"]
            await fragment(stream, "requests-rows", "No request yet")
            for name, key in (BOB, ALICE):
                headers = bearer(key) | {"User-Agent": f"client-of-{name}/1"}
                answer = await browser.http.post("/v1/chat/completions", json=ask(), headers=headers)
                assert answer.status == 200
            rows = await fragment(stream, "requests-rows", "client-of-alice/1")
            assert "client-of-bob" not in rows and "hello" not in rows


async def test_it_ends_when_the_key_is_revoked(tmp_path: Path) -> None:
    async with market_proxy(tmp_path) as market, browsing(market.proxy) as browser:
        boss = bearer(BOSS[1])
        made = await (await browser.http.post("/kv/v1/keys", json={"tenant": "alice"}, headers=boss)).json()
        await browser.log_in(made["key"])
        async with events(browser) as stream:
            await fragment(stream, "requests-rows", "")
            await browser.http.delete(f"/kv/v1/keys/{made['id']}", headers=boss)
            while (event := await next_event(stream))[0] == "fragment":
                pass
            assert event == ("ended", {"login": True}) and (await next_event(stream))[0] == ""


async def test_it_ends_with_its_session() -> None:
    async with browsing(make_proxy(api_keys=(ALICE,))) as browser:
        seal = browser.http.app[DASHBOARD].seal
        nearly = DashboardSession.begin(ALICE[1], time.time() - LIFETIME_S + 3)
        async with events(browser, headers={"Cookie": f"{COOKIE}={seal.seal(nearly)}"}) as stream:
            while (event := await next_event(stream))[0] == "fragment":
                pass
            assert event[0] == "ended"


async def test_it_ends_with_a_shutdown_and_counts_as_running_until_then() -> None:
    proxy = make_proxy()
    async with browsing(proxy) as browser:
        await browser.get("/ui/overview")
        async with events(browser) as stream:
            await fragment(stream, "requests-rows", "")
            assert proxy.drain.in_flight == 1
            proxy.drain.begin()
            await proxy.drain.finish()
            while (event := await next_event(stream))[0] == "fragment":
                pass
            assert event[0] == "" and not proxy.drain.expired
        proxy.drain.draining = False


async def test_a_client_that_leaves_stops_the_renderings() -> None:
    async with browsing(make_proxy()) as browser:
        await browser.get("/ui/overview")
        live = browser.http.app[DASHBOARD].live
        async with events(browser) as stream:
            await fragment(stream, "requests-rows", "")
            assert live.streams == 1
        await eventually(lambda: live.streams == 0)


@pytest.mark.parametrize("query", ["", "?live=", "?live=nothing"])
async def test_a_stream_of_nothing_is_refused(query: str) -> None:
    async with browsing(make_proxy()) as browser:
        await browser.get("/ui/overview")
        refused = await browser.http.get(f"/ui/events{query}", headers=STREAM)
        assert refused.status == 400 and "overview-figures" in await refused.text()


async def test_too_many_streams_of_a_session_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_updates, "MOST_OF_A_SESSION", 1)
    async with browsing(make_proxy()) as browser:
        await browser.get("/ui/overview")
        async with events(browser) as stream:
            await fragment(stream, "requests-rows", "")
            refused = await browser.http.get(OPEN, headers=STREAM)
            assert refused.status == 429 and "Retry-After" in refused.headers


async def test_a_key_without_the_scope_follows_nothing() -> None:
    proxy = make_proxy(api_keys=(ALICE,), permissions={"alice": frozenset({"metrics"})})
    async with browsing(proxy) as browser:
        await browser.log_in(ALICE[1])
        assert (await browser.http.get(OPEN, headers=STREAM)).status == 400

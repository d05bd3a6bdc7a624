"""Pins and prefetches at a small stand-in of LMCache's coordinator, which may refuse, stall or be away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kvproxy.backends.fleet import lmcache_pins
from kvproxy.backends.fleet.lmcache_pins import LmcachePins

Asked = tuple[str, str, dict[str, Any]]


@asynccontextmanager
async def pins_at(seen: list[Asked], status: int = 200, wait_s: float = 0.0) -> AsyncIterator[LmcachePins]:
    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, await request.json()))
        await asyncio.sleep(wait_s)
        return web.json_response({}, status=status)

    app = web.Application(client_max_size=2**22)
    app.router.add_route("*", "/cache/{what}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield LmcachePins(session, f"{server.make_url('/')}", "qwen3-4b", world_size=2)


async def test_a_prefix_is_named_by_its_model_tokens_and_salt() -> None:
    seen: list[Asked] = []
    async with pins_at(seen) as pins:
        assert await pins.pin((1, 2, 3), "salt") and await pins.prefetch((1, 2, 3), "salt")
        assert await pins.unpin((1, 2, 3), "salt")
    body = {"model_name": "qwen3-4b", "world_size": 2, "token_ids": [1, 2, 3], "cache_salt": "salt"}
    asked = [("POST", "/cache/pins"), ("POST", "/cache/prefetches"), ("DELETE", "/cache/pins")]
    assert seen == [(method, path, body) for method, path in asked]


async def test_a_long_prefix_is_sent_whole() -> None:
    seen: list[Asked] = []
    async with pins_at(seen) as pins:
        assert await pins.pin(tuple(range(300_000)), "salt")
    assert seen[0][2]["token_ids"] == list(range(300_000))


async def test_a_coordinator_that_refuses_or_stalls_is_a_false(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with pins_at([], status=503) as pins:
        assert not await pins.pin((1,), "salt")
    assert "did not take POST /cache/pins: it answered 503" in caplog.text
    monkeypatch.setattr(lmcache_pins, "WITHIN_S", 0.05)
    async with pins_at([], wait_s=0.5) as pins:
        assert not await pins.unpin((1,), "salt")
    assert "did not take DELETE /cache/pins: TimeoutError" in caplog.text


async def test_one_that_is_away_is_a_false() -> None:
    async with aiohttp.ClientSession() as session:
        assert not await LmcachePins(session, "http://127.0.0.1:9", "m").prefetch((1,), "salt")

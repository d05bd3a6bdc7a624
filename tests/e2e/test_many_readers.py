"""64 readers at once, half of them leave midway. The proxy runs in this process, to look into its engine."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from kvproxy.config import Config, EngineSettings, ModelSettings, StoreSettings
from kvproxy.engine.models.source import ModelFolder
from kvproxy.server.app import build_app
from kvproxy.server.auth import Keyring
from kvproxy.server.components import Components
from kvproxy.server.run import serve
from kvproxy.server.shutdown import Drain
from kvproxy.stack.model_folders import ModelFolders
from kvproxy.stack.open_stack import Stack, open_stack
from tests.e2e.reader import MODEL
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

READERS = 64
TENANTS = 4
MAX_TOKENS = 8
LEAVE_AFTER = 2
UNREAD_TOKENS = 120
"""Tokens that the leaving readers ask for: seconds of work, in the same page."""
NOTICED_S = 3.0
"""A step takes about 0.1 s. The unread tokens of 32 readers would take twice as long at least."""
PAGES = 84
"""64 readers with a page of their own each, and not many more: the pool is full after one round, so that a
second one shows leaked pages and not kept ones."""
PAGE_BYTES = 30 * 2 * 3 * 256 * 64 * 2
TOLERANCE = 48 * 2**20
"""Bytes; a reader's page is 6 MB, so ten that are lost would show."""

TEXT = document("many readers", 1_500)
NOUNS = "bear cloud door engine flower gate hammer island jacket kettle ladder mirror needle ocean pan queen"


class Proxy:
    def __init__(self, stack: Stack, drain: Drain, url: str, session: aiohttp.ClientSession) -> None:
        self.stack, self.drain, self._url, self._session = stack, drain, url, session

    async def post(self, path: str, tenant: str, body: dict[str, Any]) -> aiohttp.ClientResponse:
        headers = {"authorization": f"Bearer {key(tenant)}"}
        response = await self._session.post(self._url + path, json=body, headers=headers)
        assert response.status in (200, 201), await response.text()
        return response

    async def read(self, number: int, tenant: str, leave_after: int | None = None) -> tuple[str, str]:
        """The text that reader ``number`` was streamed, and how it ended: a finish reason, or ``left``."""
        body = ask(number, UNREAD_TOKENS if leave_after else MAX_TOKENS) | {"stream": True}
        response = await self.post("/v1/chat/completions", tenant, body)
        assert response.headers["cache-status"].startswith("kvproxy; hit"), response.headers
        pieces: list[str] = []
        reason = ""
        async for line in response.content:
            data = line.decode().strip().removeprefix("data: ")
            if not data:
                continue
            if data == "[DONE]":
                return "".join(pieces), reason
            [choice] = json.loads(data)["choices"]
            reason = choice["finish_reason"] or ""
            if choice["delta"].get("content"):
                pieces.append(choice["delta"]["content"])
            if len(pieces) == leave_after:
                response.close()
                return "".join(pieces), "left"
        raise AssertionError("the stream broke off")

    async def alone(self, number: int, max_tokens: int) -> str:
        """The answer to reader ``number`` without other readers."""
        async with await self.post("/v1/chat/completions", "alone", ask(number, max_tokens)) as response:
            body = await response.json()
        return str(body["choices"][0]["message"]["content"])

    async def round(self, name: str) -> list[tuple[str, str]]:
        """All readers at once; the odd ones leave after a few words, not all after the same number."""
        readings = [
            self.read(i, f"{name}-{i % TENANTS}", LEAVE_AFTER + i % 3 if i % 2 else None)
            for i in range(READERS)
        ]
        results = await asyncio.gather(*readings)
        async with asyncio.timeout(NOTICED_S):
            # The engine notices a closed socket at its next step; there is no event to wait for.
            while self.drain.in_flight or not self.idle:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return results

    @property
    def idle(self) -> bool:
        """No page is held by anything but the index, and none is pinned."""
        now = self.stack.local.occupancy()
        return now.evictable == now.held


def key(tenant: str) -> str:
    return f"key-of-tenant-{tenant}"


def ask(number: int, max_tokens: int) -> dict[str, Any]:
    one, other = NOUNS.split()[number % 16], NOUNS.split()[number // 16 * 5 % 16]
    question = f"Write a sentence about a {one} and a {other}, number {number}."
    messages = in_system(TEXT, question)
    return {"model": MODEL, "messages": messages, "max_tokens": max_tokens, "temperature": 0}


@asynccontextmanager
async def proxy_here(model: Path, store: Path) -> AsyncIterator[Proxy]:
    config = Config(
        model=ModelSettings(path=str(model), name=MODEL),
        engine=EngineSettings(page_budget=PAGES * PAGE_BYTES, max_running=READERS),
        store=StoreSettings(path=store),
    )
    tenants = [f"{r}-{i}" for r in ("first", "second") for i in range(TENANTS)] + ["publisher", "alone"]
    drain = Drain(5.0)
    bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with open_stack(config, ModelFolders(ModelFolder(model, MODEL))) as stack:
        components = Components(
            created=0,
            pipeline=stack.pipeline,
            ready=stack.ready,
            publisher=stack.publisher,
            verifier=stack.verifier,
            responses=stack.responses,
            keyring=Keyring((t, key(t)) for t in tenants),
            drain=drain,
            max_body=2**20,
            keepalive_s=60.0,  # no pulse may begin a stream before it is decided: its headers are checked
            timeout_s=600.0,
        )

        def announce(host: str, port: int) -> None:
            bound.set_result(f"http://{host}:{port}")

        server = asyncio.create_task(serve(build_app(components), "127.0.0.1", 0, drain, announce))
        try:
            url = await asyncio.wait_for(bound, 120)
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
                yield Proxy(stack, drain, url, session)
        finally:
            server.cancel()
            with suppress(asyncio.CancelledError):
                await server


async def test_readers_who_come_and_go(smollm2: Path, tmp_path: Path) -> None:
    async with proxy_here(smollm2, tmp_path) as proxy:
        (await proxy.post("/kv/v1/documents", "publisher", {"id": "shared", "text": TEXT})).release()
        first = await proxy.round("first")
        assert proxy.stack.local.occupancy().free < PAGES // 4, "the pool should be full by now"
        before = resident()
        second = await proxy.round("second")
        grown = resident() - before

        assert await proxy.stack.local.check() == []
        pages = proxy.stack.local.occupancy()
        assert (pages.total, pages.free + pages.held) == (PAGES, PAGES)
        assert grown < TOLERANCE, f"{grown / 2**20:.0f} MiB more than before the round"
        assert first == second
        await each_has_its_own_answer(proxy, first)


async def each_has_its_own_answer(proxy: Proxy, results: list[tuple[str, str]]) -> None:
    for number, (text, end) in enumerate(results):
        if number % 2:
            assert end == "left" and text
            assert (await proxy.alone(number, LEAVE_AFTER + 3)).startswith(text)
        else:
            assert end in ("length", "stop")
            assert await proxy.alone(number, MAX_TOKENS) == text
    whole = [text for text, end in results if end != "left"]
    assert len(set(whole)) > len(whole) * 3 // 4, "the answers tell too little apart"


def resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)

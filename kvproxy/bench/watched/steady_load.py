"""`SteadyLoad`: hits, misses and refusals of two tenants at a constant rate, the same ones every time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import aiohttp

from kvproxy.bench.load import WrongAnswer
from kvproxy.bench.watched.filled_library import PUBLISHED, published_text
from kvproxy.bench.watched.watched_server import KEYS, MODEL

_KIND = ("hit", "hit", "stream", "hit", "miss", "hit", "stream", "refused")
_STATUS = {"hit": 200, "stream": 200, "miss": 200, "refused": 404}


class SteadyLoad:
    """``requests`` a second, begun at even intervals whether or not earlier ones have ended.

    Example: ``await SteadyLoad(session, 50.0).run(10.0)``
    """

    def __init__(
        self, session: aiohttp.ClientSession, rate: float, tenants: Sequence[str] = ("owner", "reader")
    ) -> None:
        """``rate``: requests a second; 0 sends none. ``tenants`` send them in turn."""
        self._session, self._rate, self._tenants = session, rate, tenants
        self._bodies = [_body(number) for number in range(len(_KIND) * PUBLISHED)]
        self._sent = 0

    async def run(self, seconds: float) -> int:
        """Send requests for so long, and return their number when all have been answered. Raises WrongAnswer."""
        loop = asyncio.get_running_loop()
        began, count = loop.time(), int(seconds * self._rate)
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(began + number / self._rate - loop.time())
                group.create_task(self._ask(self._sent))
                self._sent += 1
            await asyncio.sleep(began + seconds - loop.time())
        return count

    async def one_by_one(self, count: int) -> None:
        """Send so many requests, each when the one before it was answered. Raises WrongAnswer."""
        for _ in range(count):
            await self._ask(self._sent)
            self._sent += 1

    async def _ask(self, number: int) -> None:
        kind, key = _KIND[number % len(_KIND)], KEYS[self._tenants[number % len(self._tenants)]]
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        body = self._bodies[number % len(self._bodies)]
        async with self._session.post("/v1/chat/completions", data=body, headers=headers) as answer:
            await answer.read()
            status = answer.headers.get("Cache-Status", "")
            if answer.status != _STATUS[kind] or (kind in ("hit", "stream") and "hit" not in status):
                raise WrongAnswer(f"a request for a {kind} got {answer.status}, Cache-Status {status!r}")


def _body(number: int) -> bytes:
    kind, text = _KIND[number % len(_KIND)], published_text(number % PUBLISHED)
    head = f"It is {number}. {text}" if kind == "miss" else f"{text}\n\nAnswer briefly."
    body: dict[str, Any] = {
        "model": MODEL if kind != "refused" else "unknown",
        "stream": kind == "stream",
        "messages": [{"role": "system", "content": head}, {"role": "user", "content": f"What is {number}?"}],
    }
    return json.dumps(body).encode()

"""Sits between a client and the proxy, passes everything on as it comes, and keeps what was said."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

_HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding", "content-encoding"}


@dataclass(frozen=True, slots=True)
class Exchange:
    method: str
    path: str
    request: bytes
    status: int
    content_type: str
    request_id: str
    response: bytes

    def line(self) -> str:
        """One line of JSON, bodies in base64: they may be anything."""
        return json.dumps(
            {
                "method": self.method,
                "path": self.path,
                "request": base64.b64encode(self.request).decode(),
                "status": self.status,
                "content_type": self.content_type,
                "request_id": self.request_id,
                "response": base64.b64encode(self.response).decode(),
            }
        )


class Tap:
    """``with Tap(url) as tap``: clients talk to ``tap.url``; ``tap.exchanges`` grows."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.exchanges: list[Exchange] = []
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._end: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="tap", daemon=True)

    def write(self, path: Path) -> None:
        path.write_text("".join(e.line() + "\n" for e in self.exchanges), encoding="utf-8")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the tap did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._end is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:

            async def forward(request: web.Request) -> web.StreamResponse:
                return await self._forward(session, request)

            app = web.Application(client_max_size=2**26)
            app.router.add_route("*", "/{path:.*}", forward)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._ready.set()
            await self._end.wait()
            await runner.cleanup()

    async def _forward(self, session: aiohttp.ClientSession, request: web.Request) -> web.StreamResponse:
        sent = await request.read()
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP]
        headers = [(k, v) for k, v in headers if k.lower() != "accept-encoding"]
        url = self._target + request.raw_path
        pieces: list[bytes] = []
        async with session.request(request.method, url, data=sent, headers=headers) as answer:
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                pieces.append(piece)
                await response.write(piece)
            self.exchanges.append(
                Exchange(
                    request.method,
                    request.path,
                    sent,
                    answer.status,
                    answer.headers.get("Content-Type", ""),
                    answer.headers.get("x-request-id", ""),
                    b"".join(pieces),
                )
            )
            with suppress(ConnectionResetError):  # a client that has read [DONE] may be gone by now
                await response.write_eof()
        return response

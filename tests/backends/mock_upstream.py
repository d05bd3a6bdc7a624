"""An OpenAI upstream on a real socket: says what it is told to, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 2,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 1},
}


@dataclass
class MockUpstream:
    """``status`` other than 200 answers with an error; ``stream_end`` is done, error, drop or cut."""

    url: str = ""
    status: int = 200
    error: dict[str, Any] = field(
        default_factory=lambda: {"message": "No.", "type": "invalid_request_error", "param": "p", "code": "c"}
    )
    headers: dict[str, str] = field(default_factory=dict)
    message: dict[str, Any] = field(default_factory=lambda: {"role": "assistant", "content": "Hello."})
    deltas: list[dict[str, Any]] = field(
        default_factory=lambda: [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo."}]
    )
    finish_reason: str = "stop"
    usage: dict[str, Any] | None = field(default_factory=lambda: dict(USAGE))
    stream_end: str = "done"
    delay_s: float = 0.0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    asked_with: list[dict[str, str]] = field(default_factory=list)
    """The headers of those requests, by their names in lower case."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.asked_with.append({name.lower(): value for name, value in request.headers.items()})
        await asyncio.sleep(self.delay_s)
        if self.status != 200:
            return web.json_response({"error": self.error}, status=self.status, headers=self.headers)
        if body.get("stream"):
            return await self._stream(request, body)
        choice = {"index": 0, "message": self.message, "logprobs": None, "finish_reason": self.finish_reason}
        counts = {} if self.usage is None else {"usage": self.usage}
        return web.json_response(self._frame("chat.completion", [choice]) | counts)

    async def _stream(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for delta in self.deltas:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
            await self._send(response, self._frame("chat.completion.chunk", [choice]))
        if self.stream_end == "error":
            error = {"message": "Broke.", "type": "server_error", "code": "broken"}
            await self._send(response, {"error": error})
        elif self.stream_end == "drop":
            assert request.transport is not None
            request.transport.abort()
        elif self.stream_end == "done":
            last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": self.finish_reason}
            await self._send(response, self._frame("chat.completion.chunk", [last]))
            if (body.get("stream_options") or {}).get("include_usage"):
                await self._send(response, self._frame("chat.completion.chunk", []) | {"usage": self.usage})
            await response.write(b"data: [DONE]\n\n")
        return response

    @staticmethod
    async def _send(response: web.StreamResponse, chunk: dict[str, Any]) -> None:
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    @staticmethod
    def _frame(kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        frame = {"id": "chatcmpl-up", "object": kind, "created": 1700000000, "model": "up-1"}
        return {**frame, "choices": choices}


@asynccontextmanager
async def mock_upstream() -> AsyncIterator[MockUpstream]:
    upstream = MockUpstream()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", upstream.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    upstream.url = f"http://{host}:{port}/v1"
    try:
        yield upstream
    finally:
        await runner.cleanup()

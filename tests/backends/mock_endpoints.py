"""An upstream with every endpoint, on a real socket: fixed answers, and all that it was sent is kept."""

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
}
TEXT = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "up-1"}
CHAT = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "up-1"}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "model": "up-1",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello.", "annotations": [], "logprobs": []}],
        }
    ],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "usage": {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 12,
    },
    "made_up": {"x": 1},
}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "up-1",
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 6,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 3,
        "output_tokens": 2,
    },
}
WHOLE: dict[str, dict[str, Any]] = {
    "completions": {
        **TEXT,
        "choices": [{"index": 0, "text": "Hello.", "logprobs": None, "finish_reason": "stop", "made_up": 1}],
        "usage": USAGE,
    },
    "chat/completions": {
        **CHAT,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello.", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    },
    "embeddings": {
        "object": "list",
        "model": "up-1",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    },
    "responses": RESPONSE,
    "messages": MESSAGE,
}


def _text(text: str, reason: str | None = None) -> dict[str, Any]:
    return {**TEXT, "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": reason}]}


def _chat(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return {**CHAT, "object": "chat.completion.chunk", "choices": [choice]}


EVENTS: dict[str, list[dict[str, Any]]] = {
    "completions": [_text("Hel"), _text("lo."), _text("", "stop")],
    "chat/completions": [
        _chat({"role": "assistant", "content": ""}),
        _chat({"content": "Hello."}),
        _chat({}, "stop"),
    ],
    "responses": [
        {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "status": "in_progress"}},
        {
            "type": "response.output_text.delta",
            "sequence_number": 1,
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "delta": "Hello.",
            "logprobs": [],
        },
        {"type": "response.completed", "sequence_number": 2, "response": RESPONSE},
    ],
    "messages": [
        {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ],
}
NAMED = ("responses", "messages")


@dataclass
class MockEndpoints:
    """``end`` of a stream: done; linger (it stays open behind its last event); drop (the connection breaks between two
    events), tear (within one)."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    end: str = "done"
    pause_s: float = 0.0
    """Before each event but the first."""
    whole: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(WHOLE))
    events: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: dict(EVENTS))
    """The answers by endpoint, whole and as events; both may be changed."""
    seen: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)
    """Path below ``/v1/``, body and headers in lower case of every request."""
    sent: bytes = b""
    """The body of the last answer, as far as it got."""
    connections: set[Any] = field(default_factory=set)
    left: int = 0
    """The number of clients that left before a stream's end."""

    @property
    def body(self) -> dict[str, Any]:
        """Of the last request."""
        decoded: dict[str, Any] = json.loads(self.seen[-1][1])
        return decoded

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        name = request.match_info["name"]
        self.connections.add(request.transport and request.transport.get_extra_info("peername"))
        self.seen.append((name, raw, {k.lower(): v for k, v in request.headers.items()}))
        if self.status != 200:
            error = {"message": "No.", "type": "invalid_request_error", "param": "p", "code": "c"}
            self.sent = json.dumps({"error": error}, indent=2).encode()
            return self._whole(self.sent, self.status)
        if not json.loads(raw).get("stream"):
            self.sent = json.dumps(self.whole[name], indent=1).encode()
            return self._whole(self.sent, 200)
        try:
            return await self._stream(request, name, (json.loads(raw).get("stream_options") or {}))
        except (ConnectionError, asyncio.CancelledError):
            self.left += 1
            raise

    def _whole(self, body: bytes, status: int) -> web.Response:
        return web.Response(body=body, status=status, headers=self.headers, content_type="application/json")

    async def _stream(self, request: web.Request, name: str, options: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **self.headers})
        await response.prepare(request)
        self.sent = b""
        events = list(self.events[name])
        if options.get("include_usage"):
            events.append({**events[0], "choices": [], "usage": USAGE})
        for number, event in enumerate(events):
            await asyncio.sleep(self.pause_s if number else 0)
            head = f"event: {event['type']}\n".encode() if name in NAMED else b""
            data = head + b"data: " + json.dumps(event).encode() + b"\n\n"
            if self.end == "tear" and number == 1:
                data = data[:20]
            self.sent += data
            await response.write(data)
            if self.end in ("drop", "tear") and number == 1:
                await asyncio.sleep(0.05)
                assert request.transport is not None
                request.transport.abort()
                return response
        if name not in NAMED:
            self.sent += b"data: [DONE]\n\n"
            await response.write(b"data: [DONE]\n\n")
        if self.end == "linger":
            await asyncio.sleep(3600)
        return response


@asynccontextmanager
async def mock_endpoints() -> AsyncIterator[MockEndpoints]:
    upstream = MockEndpoints()
    app = web.Application()
    app.router.add_post("/v1/{name:.+}", upstream.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    upstream.url = f"http://{host}:{port}/v1"
    try:
        yield upstream
    finally:
        await runner.cleanup()

"""A proxy in a thread, which answers chat completions as kvproxy does, without a model."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx

from .fake_documents import FakeProxy

HIT = 'kvproxy; hit; key="handbook@3"; detail="tokens=40,exact"'
MISS = 'kvproxy; fwd=miss; detail="no-document"'
TIMING = "match;dur=0.500, load;dur=1.000, prefill;dur=50.000"


class FakeChat:
    """``bodies`` are its requests' bodies; ``status`` and the other fields set its answers."""

    def __init__(self) -> None:
        self.documents = FakeProxy()
        self.bodies: list[dict[str, Any]] = []
        self.status: str = MISS
        self.late = False
        """Whether streams begin before they are decided."""
        self.cached = 0
        self.cost: dict[str, Any] | None = None
        """The price that a proxy with a tariff adds to the usage."""
        self.thoughts: str | None = None
        self.refusal: tuple[int, dict[str, Any]] | None = None
        """Status and error that every question gets instead of an answer."""
        self.quote: dict[str, Any] | None = None
        """The quote object beside the error of a refusal."""
        self.delay_s = 0.0
        self.models: list[dict[str, Any]] = [{"id": "smollm2-135m"}]
        self.listings = 0
        """The number of times that it was asked which models it serves."""
        self.url = ""

    def answer(self, request: httpx.Request) -> httpx.Response:
        """The management API; a document by its id alone, too."""
        id = request.url.path.removeprefix("/kv/v1/documents/")
        if request.method == "GET" and self.documents.documents.get(id):
            return httpx.Response(200, json=self.documents.documents[id][-1])
        if request.url.path == "/v1/models":
            self.listings += 1
            data = [{"object": "model", "created": 1, "owned_by": "kvproxy"} | model for model in self.models]
            return httpx.Response(200, json={"object": "list", "data": data})
        if request.url.path == "/tokenize" and "messages" in (body := json.loads(request.content)):
            words = " ".join(str(message["content"]) for message in body["messages"]).split()
            return httpx.Response(200, json={"count": len(words), "tokens": list(range(len(words)))})
        return self.documents.answer(request)

    def headers(self, stream: bool) -> dict[str, str]:
        if stream and self.late:
            return {"Cache-Status": 'kvproxy; detail="pending"'}
        return {"Cache-Status": self.status, "Server-Timing": TIMING}

    def usage(self) -> dict[str, Any]:
        return {
            "prompt_tokens": 50,
            "completion_tokens": 2,
            "total_tokens": 52,
            "prompt_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": 50 - self.cached},
            **({} if self.cost is None else {"cost": self.cost}),
        }

    def message(self, body: dict[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "Thirty days"}
        if self.thoughts is not None:
            message["reasoning_content"] = self.thoughts
        if body.get("tools") and body.get("tool_choice", "auto") != "auto":
            function = body["tools"][0]["function"]
            arguments = json.dumps(_filled(function["parameters"]))
            call = {
                "id": "call_1",
                "type": "function",
                "function": {"name": function["name"], "arguments": arguments},
            }
            return message | {"content": None, "tool_calls": [call]}
        if (body.get("response_format") or {}).get("type") == "json_schema":
            message["content"] = json.dumps(_filled(body["response_format"]["json_schema"]["schema"]))
        return message

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        choice = {"index": 0, "message": self.message(body), "finish_reason": "stop", "logprobs": None}
        return _envelope(body, "chat.completion") | {"choices": [choice], "usage": self.usage()}

    def chunks(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        message = self.message(body)
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if "reasoning_content" in message:
            deltas += [{"reasoning_content": piece} for piece in message["reasoning_content"].split(" ")]
        deltas += [{"content": message["content"]}, {}]
        envelope = _envelope(body, "chat.completion.chunk")
        for n, delta in enumerate(deltas):
            end = "stop" if n == len(deltas) - 1 else None
            yield envelope | {"choices": [{"index": 0, "delta": delta, "finish_reason": end}], "usage": None}
        if (body.get("stream_options") or {}).get("include_usage"):
            yield envelope | {"choices": [], "usage": self.usage()}


@contextmanager
def running(fake: FakeChat | None = None) -> Iterator[FakeChat]:
    fake = fake or FakeChat()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(fake: FakeChat) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._pass_on(b"")

        def do_DELETE(self) -> None:
            self._pass_on(b"")

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length", 0)))
            if not self.path.endswith("/chat/completions"):
                if self.path == "/tokenize":
                    fake.bodies.append(json.loads(sent))
                return self._pass_on(sent)
            body = json.loads(sent)
            fake.bodies.append(body)
            time.sleep(fake.delay_s)
            if fake.refusal is not None:
                told = {"error": fake.refusal[1]} | ({"quote": fake.quote} if fake.quote is not None else {})
                return self._send(fake.refusal[0], json.dumps(told).encode(), {"x-should-retry": "false"})
            if not body.get("stream"):
                return self._send(200, json.dumps(fake.completion(body)).encode(), fake.headers(False))
            events = [f"data: {json.dumps(chunk)}\n\n" for chunk in fake.chunks(body)]
            data = "".join([*events, "data: [DONE]\n\n"]).encode()
            return self._send(200, data, {"Content-Type": "text/event-stream"} | fake.headers(True))

        def _pass_on(self, sent: bytes) -> None:
            request = httpx.Request(
                self.command, fake.url + self.path, headers=dict(self.headers.items()), content=sent or None
            )
            answer = fake.answer(request)
            self._send(answer.status_code, answer.content, {"Content-Type": answer.headers["content-type"]})

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _envelope(body: dict[str, Any], object: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": object, "created": 1, "model": body["model"]}


def _filled(schema: dict[str, Any]) -> Any:
    """The least value that a schema takes, of those that the tests ask for."""
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "object":
        return {name: _filled(of) for name, of in schema.get("properties", {}).items()}
    return {"string": "San Francisco, CA", "integer": 30, "boolean": True}[schema["type"]]

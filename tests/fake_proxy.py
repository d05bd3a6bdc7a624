"""A proxy without a model: enough of kvproxy's HTTP for the command line, the demo and the integrations, standard
library only.

Started as ``python -m tests.fake_proxy serve --config FILE --announce-file FILE`` it behaves as a proxy does:
a published text is a hit for everyone, also after a restart. With ``--lies`` hits have another answer,
with ``--slow`` no question is answered, with ``--broken`` it does not start.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import parse_qsl

import yaml

MODEL, CONTEXT = "fake", 5000
"""The one model that it has, and how many words fit into a prompt and its answer."""


FLEET = "fleet"
"""The model of which `verify` tells how far answers agree."""


class FakeProxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, store: Path | None = None, keys: tuple[str, ...] = (), *, lies: bool = False, slow: bool = False
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store, self.keys, self.lies, self.slow = store, keys, lies, slow
        self.documents: dict[str, dict[str, Any]] = {}
        self.spellings: tuple[str, ...] = ("published",)
        """Names of those that every document has."""
        self.asked: list[dict[str, Any]] = []
        """The bodies of chat completions."""
        self.requests: list[dict[str, Any]] = []
        """The records that ``/kv/v1/requests`` tells."""
        self.explanation: dict[str, Any] | None = None
        """The answer of ``/kv/v1/explain``; None: an older proxy, which has no such path."""
        self.explained: list[dict[str, Any]] = []
        if store is not None and store.exists():
            self.documents = json.loads(store.read_text())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def publish(self, body: dict[str, Any]) -> dict[str, Any]:
        text = body["text"]
        info = {
            "id": body["id"],
            "version": 1,
            "current": True,
            "etag": hashlib.sha256(text.encode()).hexdigest(),
            "visibility": body.get("visibility", "public"),
            "characters": len(text),
            "tokens": len(text.split()),
            "framings": [{"name": "system", "tokens": len(text.split()) + 3, "bytes": 3 * 2**20}],
            "spellings": [{"name": s, "characters": 1, "tokens": 1} for s in self.spellings],
        }
        known = self.documents.get(body["id"])
        created = known is None or known["text"] != text
        self.documents[body["id"]] = {"info": info, "text": text}
        if self.store is not None:
            self.store.write_text(json.dumps(self.documents))
        return {"info": info, "created": created, "prefill_s": 1.5}


@dataclass(frozen=True, slots=True)
class _Read:
    """The reading of a prompt by the fake."""

    words: int
    cached: int
    answer: str
    status: str


def _said(content: str | list[dict[str, Any]] | None) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or [])


def _call(function: dict[str, Any]) -> dict[str, Any]:
    """With the first choice for every argument that has choices."""
    properties = function["parameters"]["properties"]
    arguments = {name: schema["enum"][0] for name, schema in properties.items() if "enum" in schema}
    called = {"name": function["name"], "arguments": json.dumps(arguments)}
    return {"id": "call", "type": "function", "function": called}


class _Handler(BaseHTTPRequestHandler):
    server: FakeProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if not self._allowed():
            return
        path, _, query = self.path.partition("?")
        if path == "/v1/models":
            model = {"id": MODEL, "object": "model", "created": 1, "owned_by": "kvproxy"}
            self._json(200, {"object": "list", "data": [model]})
        elif path == "/kv/v1/requests":
            self._json(200, {"object": "list", "data": self.server.requests})
        elif path == "/kv/v1/documents":
            self._json(200, {"object": "list", "data": [d["info"] for d in self.server.documents.values()]})
        elif (found := self._document(path)) is not None:
            self._json(200, found["info"] | ({"text": found["text"]} if query == "text=true" else {}))

    def do_DELETE(self) -> None:
        if self._allowed() and (found := self._document(self.path)) is not None:
            del self.server.documents[found["info"]["id"]]
            self._json(200, {"id": found["info"]["id"], "deleted": True})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or "{}")
        if not self._allowed():
            return
        if self.path == "/kv/v1/documents":
            self._publish(body)
        elif "/verify" in self.path:
            self._verify()
        elif self.path == "/kv/v1/explain":
            self.server.explained.append(body)
            if self.server.explanation is None:
                self._error(404, "Invalid URL.")
            else:
                self._json(200, self.server.explanation)
        elif self.path == "/tokenize":
            texts = [body["prompt"]] if "prompt" in body else self._texts(body)
            if texts is not None:
                ids = list(range(sum(len(text.split()) for text in texts)))
                self._json(200, {"count": len(ids), "max_model_len": CONTEXT, "tokens": ids})
        elif self.path == "/v1/responses":
            self._respond(body)
        else:
            self._chat(body)

    def _publish(self, body: dict[str, Any]) -> None:
        if not body["text"]:
            self._error(400, "the text is empty")
            return
        if "text/event-stream" not in self.headers.get("accept", ""):
            self._json(201, self.server.publish(body))
            return
        if body["id"] == "fails-late":
            self._stream(
                [
                    ("progress", {"done": 1, "total": 4, "tokens_per_s": 2.0}),
                    ("error", {"error": {"message": "the disk is full"}}),
                ]
            )
            return
        if body["id"] == "dies":
            self._stream([("progress", {"done": 1, "total": 4, "tokens_per_s": 2.0})])
            return
        steps = [("progress", {"done": n, "total": 4, "tokens_per_s": 2.0}) for n in (0, 2, 4)]
        self._stream([*steps, ("result", self.server.publish(body))])

    def _verify(self) -> None:
        path, _, query = self.path.removesuffix("/verify").partition("/verify?")
        if (found := self._document(path)) is None:
            return
        asked = dict(parse_qsl(query))
        info, tokens = found["info"], int(asked.get("tokens", 24))
        lies, lost = self.server.lies, info["id"] == "lost"
        row = {
            "document": f"{info['id']}@1",
            "framing": "system",
            "exact": not lies and not lost,
            "note": "no page of this prompt is kept" if lost else "",
            "cached_tokens": 300,
            "pages": 2,
            "equal_pages": 1 if lies else 2,
            "positions": 1300,
            "equal_positions": 1000 if lies else 1300,
            "equal_argmax": 1200 if lies else 1300,
            "largest_difference": 0.25 if lies else 0.0,
            "greedy_tokens": tokens,
            "equal_greedy": 3 if lies else tokens,
            "first_difference": 260 if lies else None,
        }
        if asked.get("model") == FLEET:
            row |= {"exact": False, "positions": 0, "equal_positions": 0, "pages": 0, "equal_pages": 0}
            row |= {"equal_argmax": 0, "first_difference": None}
            row["agreement"] = None if lost else {"replica": "rack2", "agrees": not lies, "positions": tokens}
        steps = [("progress", {"done": n, "total": 4, "tokens_per_s": 2.0}) for n in (0, 4)]
        self._stream([*steps, ("result", {"exact": row["exact"], "data": [row]})])

    def _chat(self, body: dict[str, Any]) -> None:
        if self.server.slow:
            time.sleep(30)
        self.server.asked.append(body)
        if (texts := self._texts(body)) is None:
            return
        read = self._read(texts)
        details = {"cached_tokens": read.cached, "cache_write_tokens": 0}
        usage = {
            "prompt_tokens": read.words,
            "completion_tokens": 1,
            "total_tokens": read.words + 1,
            "prompt_tokens_details": details,
        }
        base = {"id": "c", "created": 1, "model": body["model"]}
        choice = {"index": 0, "finish_reason": None, "logprobs": None}
        if not body.get("stream"):
            message: dict[str, Any] = {"role": "assistant", "content": read.answer, "refusal": None}
            reason = "stop"
            if body.get("tool_choice") == "required":
                message |= {"content": None, "tool_calls": [_call(body["tools"][0]["function"])]}
                reason = "tool_calls"
            choices = [choice | {"finish_reason": reason, "message": message}]
            self._json(200, base | {"object": "chat.completion", "choices": choices, "usage": usage})
            return
        base["object"] = "chat.completion.chunk"
        chunks = [
            base | {"choices": [choice | {"delta": {"role": "assistant", "content": ""}}]},
            base | {"choices": [choice | {"delta": {"content": read.answer}}]},
            base | {"choices": [choice | {"delta": {}, "finish_reason": "stop"}]},
        ]
        if (body.get("stream_options") or {}).get("include_usage"):
            chunks.append(base | {"choices": [], "usage": usage})
        self._stream([(None, c) for c in chunks], status=read.status, end="data: [DONE]\n\n")

    def _respond(self, body: dict[str, Any]) -> None:
        """Whole only; instructions come before the input, as in the real one."""
        items = body["input"] if isinstance(body["input"], list) else [{"content": body["input"]}]
        read = self._read([body.get("instructions") or "", *(_said(i.get("content")) for i in items)])
        part = {"type": "output_text", "text": read.answer, "annotations": [], "logprobs": []}
        message = {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }
        self._json(
            200,
            {
                "id": "r",
                "object": "response",
                "created_at": 1,
                "status": "completed",
                "model": body["model"],
                "output": [message],
                "parallel_tool_calls": True,
                "tool_choice": "auto",
                "tools": [],
                "usage": {
                    "input_tokens": read.words,
                    "input_tokens_details": {"cached_tokens": read.cached, "cache_write_tokens": 0},
                    "output_tokens": 1,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": read.words + 1,
                },
            },
        )

    def _read(self, texts: list[str]) -> _Read:
        known = [d["text"] for d in self.server.documents.values() if texts[0].startswith(d["text"])]
        cached = len(known[0].split()) if known else 0
        hit = f'kvproxy; hit; key="doc@1"; detail="tokens={cached},exact"'
        return _Read(
            words=sum(len(t.split()) for t in texts),
            cached=cached,
            answer="yes" if known and self.server.lies else "no",
            status=hit if known else 'kvproxy; fwd=miss; detail="no-document"',
        )

    def _texts(self, body: dict[str, Any]) -> list[str] | None:
        """One for each message, documents included; None after a 404 for one that nobody published."""
        texts = []
        for message in body["messages"]:
            content = message.get("content")
            if isinstance(content, list):
                named = [self._document(p["document"]) if "document" in p else p for p in content]
                if None in named:
                    return None
                content = "".join(str(p["text"]) for p in named if p is not None and "text" in p)
            texts.append(_said(content))
        return texts

    def _allowed(self) -> bool:
        key = self.headers.get("authorization", "").removeprefix("Bearer ")
        if not self.server.keys or key in self.server.keys:
            return True
        self._error(401, "Incorrect API key provided.")
        return False

    def _document(self, path: str) -> dict[str, Any] | None:
        name = path.removeprefix("/kv/v1/documents/").split("@")[0]
        found = self.server.documents.get(name)
        if found is None:
            self._error(404, f"No such document: '{name}'.")
        return found

    def _stream(self, events: list[tuple[str | None, Any]], status: str = "", end: str = "") -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("cache-status", status)
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b": keepalive\n\n")
        for name, value in events:
            head = "" if name is None else f"event: {name}\n"
            self.wfile.write(f"{head}data: {json.dumps(value)}\n\n".encode())
        self.wfile.write(end.encode())

    def _error(self, status: int, message: str) -> None:
        self._json(status, {"error": {"message": message, "type": "t", "param": None, "code": None}})

    def _json(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def running(**options: Any) -> Iterator[FakeProxy]:
    with FakeProxy(**options) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


def main(arguments: list[str]) -> None:
    config = yaml.safe_load(Path(arguments[arguments.index("--config") + 1]).read_text())
    announce = Path(arguments[arguments.index("--announce-file") + 1])
    keys = tuple(k["key"] for k in config["server"]["api_keys"])
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    if "--broken" in arguments:
        sys.exit("the model is upside down")
    flags = {name: f"--{name}" in arguments for name in ("lies", "slow")}
    with running(store=Path(config["store"]["path"]), keys=keys, **flags) as proxy:
        announce.write_text(proxy.url + "\n")
        stopped.wait()


if __name__ == "__main__":
    main(sys.argv[1:])

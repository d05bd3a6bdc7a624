"""The proxy's document endpoints in memory, behind an httpx transport."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

import httpx

from langchain_kvproxy import KVProxyClient


class FakeProxy:
    """A token is a word. ``requests`` are (method, path), in the order in which they came."""

    def __init__(self) -> None:
        self.documents: dict[str, list[dict[str, Any]]] = {}
        self.requests: list[tuple[str, str]] = []
        self.fault: httpx.Response | httpx.HTTPError | None = None
        """The error that every request gets instead of an answer."""
        self.refuses: dict[str, httpx.Response] = {}
        """The error that the publish of an id gets."""
        self.gate = threading.Event()
        """Publishes wait for it."""
        self.gate.set()
        self.client = KVProxyClient("http://proxy.test", transport=httpx.MockTransport(self.answer))

    def asked(self, method: str, path: str) -> int:
        return self.requests.count((method, path))

    def add(self, id: str, text: str, visibility: str | None = None) -> dict[str, Any]:
        versions = self.documents.setdefault(id, [])
        etag = hashlib.sha256(text.encode()).hexdigest()
        if versions and versions[-1]["etag"] == etag:
            return {"info": versions[-1], "created": False, "prefill_s": 0.0}
        for version in versions:
            version["current"] = False
        number = max((v["version"] for v in versions), default=0) + 1
        versions.append(
            {
                "id": id,
                "version": number,
                "current": True,
                "etag": etag,
                "tokens": len(text.split()),
                "visibility": visibility or "public",
                "text": text,
            }
        )
        return {"info": versions[-1], "created": True, "prefill_s": 0.1}

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.requests.append((request.method, path))
        if isinstance(self.fault, httpx.HTTPError):
            raise self.fault
        if self.fault is not None:
            return self.fault
        if path == "/tokenize":
            words = json.loads(request.content)["prompt"].split()
            return httpx.Response(200, json={"count": len(words), "tokens": list(range(len(words)))})
        if (request.method, path) == ("GET", "/kv/v1/documents"):
            listed = [version for versions in self.documents.values() for version in versions]
            return httpx.Response(200, json={"object": "list", "data": listed})
        if (request.method, path) == ("POST", "/kv/v1/documents"):
            return self._publish(json.loads(request.content))
        if (request.method, path) == ("POST", "/kv/v1/explain"):
            return httpx.Response(200, json={"outcome": "miss", "cause": "no-document"})
        if request.method == "DELETE":
            return self._delete(path.removeprefix("/kv/v1/documents/"))
        raise AssertionError(f"no test asks {request.method} {path}")

    def _publish(self, body: dict[str, Any]) -> httpx.Response:
        assert self.gate.wait(10)
        if body["id"] in self.refuses:
            return self.refuses[body["id"]]
        result = self.add(body["id"], body["text"], body.get("visibility"))
        events = [("progress", {"done": 1, "total": 2, "tokens_per_s": 1.0}), ("result", result)]
        stream = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
        return httpx.Response(200, content=stream, headers={"content-type": "text/event-stream"})

    def _delete(self, reference: str) -> httpx.Response:
        id, _, version = reference.partition("@")
        left = [v for v in self.documents.get(id, ()) if version and v["version"] != int(version)]
        if len(left) == len(self.documents.get(id, ())):
            return refusal(404, "document_not_found")
        self.documents[id] = left
        return httpx.Response(200, json={"deleted": True})


def refusal(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": f"{code} happened", "code": code}})

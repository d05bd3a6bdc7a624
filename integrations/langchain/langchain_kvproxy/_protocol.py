"""The proxy's management API without I/O: addresses, request bodies, errors and event streams."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from langchain_kvproxy._errors import DocumentUnknown, ProxyRefused, ProxyUnreachable, start_one, too_slow

DEFAULT_BASE_URL = "http://127.0.0.1:8321/v1"
NO_KEY = "none"
"""The key sent to a proxy that asks for none."""

_NO_NAMES = frozenset(("", ".", ".."))
"""Path segments that normalisation removes."""

_T = TypeVar("_T")
Progress = Callable[[int, int], None]


def root_of(base_url: str | None) -> str:
    """Return the root of an address with or without ``/v1``; of KVPROXY_BASE_URL or the default where it is None."""
    chosen = base_url or os.environ.get("KVPROXY_BASE_URL") or DEFAULT_BASE_URL
    return chosen.rstrip("/").removesuffix("/v1").rstrip("/")


def api_key_of(api_key: str | None) -> str:
    """Return the key, else KVPROXY_API_KEY's, else a word for proxies that ask for none."""
    return api_key or os.environ.get("KVPROXY_API_KEY") or NO_KEY


def document_path(ref: str) -> str:
    """Return the URL path of a document.

    A name with empty or dotted segments, as ``a/../b``, is encoded as one segment: neither httpx nor a proxy on the
    way then makes ``b`` of it.
    """
    segments = ref.split("/")
    if len(segments) == 1 and ref in _NO_NAMES:
        raise ValueError(f"{ref!r} names no document: give an id such as 'handbook', or 'handbook@3'")
    plain = _NO_NAMES.isdisjoint(segments)
    return "/kv/v1/documents/" + quote(ref, safe="@/" if plain else "@")


def publish_body(id: str, text: str, visibility: str | None) -> dict[str, Any]:
    """Return the body of a publish, for example `publish_body("handbook", "Leave is 30 days", "private")`."""
    return {"id": id, "text": text} | ({"visibility": visibility} if visibility else {})


def tokenize_body(
    messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, extra: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the body of `/tokenize`, for example `tokenize_body(messages, None, {"tool_choice": "none"})`."""
    return {"messages": messages} | ({"tools": tools} if tools else {}) | (extra or {})


def answered(response: httpx.Response, root: str) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises ProxyRefused, DocumentUnknown, ProxyUnreachable."""
    if response.is_error:
        raise refusal(response, root)
    try:
        body = response.json() if response.content else {}
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _other_server(root)
    return body


def field(body: dict[str, Any], name: str, kind: type[_T], root: str) -> _T:
    """Return a field that every kvproxy sends, for example `field(body, "tokens", list, root)`.

    Raises ProxyUnreachable where the field is missing, so that another server must have answered.
    """
    value = body.get(name)
    if not isinstance(value, kind):
        raise _other_server(root)
    return value


def _other_server(root: str) -> ProxyUnreachable:
    return ProxyUnreachable(f"{root} answered, but not as a kvproxy does; is it another server?")


def refusal(response: httpx.Response, root: str) -> ProxyRefused:
    """Turn an error answer into an exception."""
    try:
        body: Any = response.json()
    except ValueError:
        body = None
    error = _error(body)
    fallback = f"the proxy at {root} answered {response.status_code} {response.reason_phrase}".rstrip()
    return refused(error, fallback, response.status_code)


def refused(error: dict[str, Any], fallback: str, status: int) -> ProxyRefused:
    """Turn an error in OpenAI's shape into an exception, with advice on `KVPROXY_API_KEY` for a 401.

    Example:
        `refused({"message": "no such key"}, "the publish failed", 401)`
    """
    message = error.get("message") if isinstance(error.get("message"), str) else fallback
    code = error.get("code") if isinstance(error.get("code"), str) else None
    if code == "document_not_found":
        return DocumentUnknown(str(message), status=status, code=code)
    if status == httpx.codes.UNAUTHORIZED:
        message = f"{message} (set KVPROXY_API_KEY, or api_key)"
    return ProxyRefused(str(message), status=status, code=code)


def unreachable(error: httpx.HTTPError | httpx.InvalidURL, root: str) -> ProxyUnreachable:
    """Turn httpx's error into an exception with advice."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ProxyUnreachable(start_one(root))
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return ProxyUnreachable(f"{root} is no address of a proxy: {error}")
    if isinstance(error, httpx.TimeoutException):
        return ProxyUnreachable(too_slow(root))
    return ProxyUnreachable(f"the connection to {root} broke: {error}")


class PublishEvents:
    """An incremental parser of a publish's event stream; its last event sets ``result``."""

    def __init__(self, progress: Progress | None) -> None:
        self.result: dict[str, Any] | None = None
        self._progress = progress
        self._rest = b""
        self._name, self._data = "message", ""

    def feed(self, chunk: bytes) -> None:
        """Parse more bytes of the stream. Raises ProxyRefused for an error event."""
        for line in self._lines(chunk):
            if line.startswith("event:"):
                self._name = line[6:].strip()
            elif line.startswith("data:"):
                self._data += line[5:].strip()
            elif not line and self._data:
                name, data = self._name, json.loads(self._data)
                self._name, self._data = "message", ""
                self._take(name, data)

    def finished(self) -> dict[str, Any]:
        """Return the result. Raises ProxyUnreachable when the stream ended without one."""
        if self.result is None:
            raise ProxyUnreachable("the proxy ended the publish without a result; see its log, publish again")
        return self.result

    def _take(self, name: str, data: dict[str, Any]) -> None:
        if name == "result":
            self.result = data
        elif name == "error":
            raise refused(_error(data), "the publish failed", httpx.codes.INTERNAL_SERVER_ERROR)
        elif name == "progress" and self._progress is not None:
            self._progress(int(data["done"]), int(data["total"]))

    def _lines(self, chunk: bytes) -> Iterator[str]:
        """Split at line feeds only: JSON may hold other line separators."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


def _error(body: Any) -> dict[str, Any]:
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}

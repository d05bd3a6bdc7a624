"""``UpstreamEvents``: an upstream's stream as the events of each endpoint."""

from __future__ import annotations

from typing import Any, Literal

from kvproxy.errors import KVProxyError
from kvproxy.wire.answers import event_bytes
from kvproxy.wire.anthropic.errors import error_type

Dialect = Literal["chat/completions", "completions", "responses", "messages", "embeddings"]

_NAMED = ("responses", "messages")
"""Endpoints with named events; their last event is one of their own rather than ``[DONE]``."""


class UpstreamEvents:
    """Encodes the events of one stream."""

    def __init__(self, endpoint: Dialect) -> None:
        self._endpoint = endpoint
        self._next = 0

    def event(self, value: dict[str, Any]) -> bytes:
        """Encode an event. Raises ValueError for a number that is not finite."""
        if isinstance(number := value.get("sequence_number"), int):
            self._next = number + 1
        name = value.get("type")
        named = self._endpoint in _NAMED and isinstance(name, str) and name.isascii() and name.isprintable()
        return event_bytes.event(value, str(name) if named else None, finite=True)

    def end(self) -> bytes:
        """Encode the mark of the end of the stream; empty for endpoints whose last event is their own."""
        return b"" if self._endpoint in _NAMED else event_bytes.DONE

    def error(self, error: KVProxyError) -> bytes:
        """Encode the error that ends the stream, in the format of this endpoint."""
        if self._endpoint == "messages":
            kind = error_type(error.http_status)
            body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": error.message}}
            return event_bytes.event(body, "error")
        openai = error.body()["error"]
        if self._endpoint == "responses":
            fields = {
                "code": openai["code"] or openai["type"],
                "message": openai["message"],
                "param": openai["param"],
            }
            return event_bytes.event({"type": "error", **fields, "sequence_number": self._next}, "error")
        return event_bytes.event(error.body())

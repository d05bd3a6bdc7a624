"""How each endpoint writes the events of a stream that an upstream answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from kvproxy.errors import KVProxyError
from kvproxy.wire import sse

Dialect = Literal["chat/completions", "completions", "responses", "messages", "embeddings"]

_NAMED = ("responses", "messages")
"""Their events have names, and the last one is an event of their own rather than ``[DONE]``."""

_ANTHROPIC_TYPES = {
    HTTPStatus.BAD_REQUEST: "invalid_request_error",
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded_error",
    529: "overloaded_error",
}


class UpstreamEvents:
    """One stream's events as bytes."""

    def __init__(self, endpoint: Dialect) -> None:
        self._endpoint = endpoint
        self._next = 0

    def event(self, value: dict[str, Any]) -> bytes:
        """Raises ValueError for a number that is not finite."""
        if isinstance(number := value.get("sequence_number"), int):
            self._next = number + 1
        name = value.get("type")
        named = self._endpoint in _NAMED and isinstance(name, str) and name.isascii() and name.isprintable()
        return sse.event(value, str(name) if named else None, finite=True)

    def end(self) -> bytes:
        return b"" if self._endpoint in _NAMED else sse.DONE

    def error(self, error: KVProxyError) -> bytes:
        """The stream ends here, in the way that clients of this endpoint understand."""
        if self._endpoint == "messages":
            kind = _ANTHROPIC_TYPES.get(error.http_status, "api_error")
            body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": error.message}}
            return sse.event(body, "error")
        told = error.body()["error"]
        if self._endpoint == "responses":
            fields = {
                "code": told["code"] or told["type"],
                "message": told["message"],
                "param": told["param"],
            }
            return sse.event({"type": "error", **fields, "sequence_number": self._next}, "error")
        return sse.event(error.body())

"""Errors of the service: what cannot be done now, what an upstream failed at, and two that no client sees."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from kvproxy.core import MissReason
from kvproxy.errors.error_base import MOST_TOLD, KVProxyError, Retryable, cut


class Overloaded(Retryable):
    """The queue or the pages are taken; a tenant below its share never gets it for a full queue. Status 429."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "rate_limit_error"
    code = "engine_busy"


class TooManyLogins(Retryable):
    """Too many logins of the dashboard have failed from this address within a minute. Status 429."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "rate_limit_error"
    code = "too_many_logins"


class TooManyViews(Retryable):
    """Too many streams of live events are open: of this session, of its tenant or of all. Status 429."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "rate_limit_error"
    code = "too_many_views"


class TimedOut(KVProxyError):
    """The request took longer than ``server.timeout_s``; trying again would take as long. Status 504."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    type = "server_error"
    code = "timeout"


class Unavailable(Retryable):
    """The proxy cannot serve this now; a later request can succeed. Status 503."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    type = "server_error"
    code = "unavailable"


class ShuttingDown(Unavailable):
    """The proxy is shutting down: it ends its streams and accepts no more. Status 503."""

    code = "shutting_down"


class NotReady(Unavailable):
    """The proxy has started and not finished loading its model or restoring its documents. Status 503."""

    code = "not_ready"


class StorageFull(Unavailable):
    """The page store, or the disk below it, has no room for the publisher. Status 503."""

    code = "storage_full"


class UpstreamError(KVProxyError):
    """An upstream's failure, with the upstream's own HTTP status and, where it had one, its error body."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        error: dict[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self._status = status
        self._error = _cut_fields(error or {})
        self._retry_after_s = retry_after_s

    @property
    def http_status(self) -> int:
        """The upstream's own status."""
        return self._status

    @property
    def retry_after_s(self) -> int | None:
        """Seconds that the upstream asked to wait; None where it named none."""
        return self._retry_after_s

    def body(self) -> dict[str, Any]:
        """Return OpenAI's error body, with the upstream's own fields where it had some."""
        error = {"message": self.message, "type": "upstream_error", "param": None, "code": None}
        error.update(self._error)
        return {"error": error}


def _cut_fields(error: dict[str, Any]) -> dict[str, Any]:
    """Return an upstream's error object in bounded size: its texts cut, its large nested values left out."""
    kept = dict(list(error.items())[:32])
    told = {cut(k, 64): cut(v, MOST_TOLD) if isinstance(v, str) else v for k, v in kept.items()}
    return {
        k: v for k, v in told.items() if not isinstance(v, dict | list | int) or len(repr(v)) <= 4 * MOST_TOLD
    }


class HitLost(KVProxyError):
    """Pages that a lookup found could not be used; nothing was sent yet. Never shown: it becomes a miss."""

    def __init__(self, message: str, reason: MissReason) -> None:
        super().__init__(message)
        self.reason = reason


class SetupError(KVProxyError):
    """Start-up cannot go on. The message is one sentence with the choices that exist. Never sent over HTTP."""

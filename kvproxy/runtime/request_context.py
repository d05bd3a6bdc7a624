"""`RequestContext`: the request that the running code works for, as log lines and calls to other servers name it.

It lies in a context variable, which tasks and worker threads that a request starts inherit. Nothing here knows
OpenTelemetry: :mod:`kvproxy.telemetry.tracing` fills it in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlsplit

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class OutgoingCall(Protocol):
    """One call to another server on a request's behalf, from its start to the last byte of its answer."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that carry the trace on: ``traceparent`` and ``tracestate``; empty without a trace."""

    def answered(self, status: int) -> None:
        """Note the status of the answer's head."""

    def end(self, error: BaseException | None = None) -> None:
        """Note the end of the answer, or the failure that ended it. Idempotent; any thread."""


class CallTracing(Protocol):
    """Makes the record of each outgoing call of one request."""

    def call(self, method: str, host: str, port: int | None) -> OutgoingCall:
        """Begin the record of one call. Any thread."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One request's names: its own id, its trace's, and the headers that carry the trace to other servers."""

    request_id: str
    trace_id: str = ""
    """32 hex digits; empty without a trace."""
    span_id: str = ""
    """16 hex digits, of the request's own span; empty without one."""
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)
    """``traceparent`` and ``tracestate`` of calls that have no record of their own."""
    calls: CallTracing | None = None
    """None where calls are not recorded."""


_CURRENT: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def current_request() -> RequestContext | None:
    """Return the request that the running code works for; None for the process's own work."""
    return _CURRENT.get()


@contextmanager
def serving(context: RequestContext) -> Iterator[None]:
    """Name the request that the block works for. Example: ``with serving(RequestContext("req_1")): ...``."""
    token = _CURRENT.set(context)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def begin_call(method: str, host: str, port: int | None = None) -> OutgoingCall:
    """Begin the record of a call to another server, which must be ended; without a trace it records nothing.

    Example: ``call = begin_call("POST", "gpu-1", 8000)``
    """
    context = _CURRENT.get()
    if context is None:
        return _UNRECORDED
    if context.calls is None:
        return _Unrecorded(context.headers)
    return context.calls.call(method, host, port)


@contextmanager
def outgoing_call(method: str, host: str, port: int | None = None) -> Iterator[OutgoingCall]:
    """Record the block as one call to another server; an exception is its failure.

    Example: ``with outgoing_call("POST", "gpu-1", 8000) as call: post(headers=call.headers)``
    """
    call = begin_call(method, host, port)
    try:
        yield call
    except BaseException as e:
        call.end(e)
        raise
    call.end()


def address_of(url: str) -> tuple[str, int | None]:
    """Return host and port of a URL, for the record of a call; no port where its scheme says it.

    Example: ``address_of("http://gpu-1:8000/v1") == ("gpu-1", 8000)``
    """
    parts = urlsplit(url)
    try:
        return parts.hostname or "", parts.port
    except ValueError:  # no number
        return parts.hostname or "", None


@dataclass(frozen=True, slots=True)
class _Unrecorded:
    headers: Mapping[str, str]

    def answered(self, status: int) -> None:
        pass

    def end(self, error: BaseException | None = None) -> None:
        pass


_UNRECORDED = _Unrecorded(_NO_HEADERS)

"""`RequestContext`: the request that the running code works for, as log lines, calls to other servers and the record of
its work name it.

It lies in a context variable, which tasks and worker threads that a request starts inherit. Nothing here knows
OpenTelemetry: :mod:`kvproxy.telemetry.tracing` fills it in.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

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


@dataclass(slots=True)
class WorkNote:
    """The facts of a piece of work that are known at its end."""

    tokens: int | None = None
    framing: str | None = None
    """The name of the prefix that it was about."""


class CallTracing(Protocol):
    """Makes the records of one request: of its outgoing calls, and of work that has ended."""

    def call(self, method: str, url: str) -> OutgoingCall:
        """Begin the record of one call. Any thread."""

    def work(self, name: str, began: float, ended: float, note: WorkNote) -> None:
        """Record work from ``began`` to ``ended``, both of ``time.perf_counter``. Any thread."""


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


def begin_call(method: str, url: str) -> OutgoingCall:
    """Begin the record of a call to another server, which must be ended; without a trace it records nothing.

    Example: ``call = begin_call("POST", "http://gpu-1:8000/v1/completions")``
    """
    context = _CURRENT.get()
    if context is None:
        return _UNRECORDED
    if context.calls is None:
        return _Unrecorded(context.headers)
    return context.calls.call(method, url)


@contextmanager
def outgoing_call(method: str, url: str) -> Iterator[OutgoingCall]:
    """Record the block as one call to another server; an exception is its failure.

    Example: ``with outgoing_call("POST", url) as call: post(url, headers=call.headers)``
    """
    call = begin_call(method, url)
    try:
        yield call
    except BaseException as e:
        call.end(e)
        raise
    call.end()


@contextmanager
def traced_work(name: str, framing: str | None = None) -> Iterator[WorkNote]:
    """Record the block as work of the current request; without a trace it records nothing. A block that raises is
    recorded too, up to then.

    Example: ``with traced_work("tokenize") as note: note.tokens = len(encode(text))``
    """
    context, note, began = _CURRENT.get(), WorkNote(framing=framing), time.perf_counter()
    try:
        yield note
    finally:
        if context is not None and context.calls is not None:
            context.calls.work(name, began, time.perf_counter(), note)


@dataclass(frozen=True, slots=True)
class _Unrecorded:
    headers: Mapping[str, str]

    def answered(self, status: int) -> None:
        pass

    def end(self, error: BaseException | None = None) -> None:
        pass


_UNRECORDED = _Unrecorded(_NO_HEADERS)

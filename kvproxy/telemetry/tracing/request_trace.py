"""`RequestTrace`: the span of one request, the spans of its phases, and those of its calls to other servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from kvproxy.runtime.request_context import WorkNote
from kvproxy.telemetry.tracing.attribute_names import ERROR_TYPE, FRAMING, METHOD, STATUS, TOKENS
from kvproxy.telemetry.tracing.called_address import address_attributes
from kvproxy.telemetry.tracing.trace_headers import span_headers

MOST_CALLS = 64
"""Calls to other servers that one request has spans for."""

MOST_WORK = 256
"""Pieces of work on documents that one request has spans for: a document has one for each framing and spelling."""


@dataclass(frozen=True, slots=True)
class TracedPhase:
    """A phase of a request that has ended, in seconds of ``time.perf_counter``."""

    name: str
    began: float
    ended: float
    attributes: Mapping[str, AttributeValue] | None = None


class RequestTrace:
    """One request's span, from its begin to :meth:`end`. Phases are added when they are over: their times are measured
    whether or not they are traced."""

    def __init__(self, tracer: Tracer, span: Span, at_ns: int, clock: float) -> None:
        """``at_ns``: Unix nanoseconds of the moment that ``time.perf_counter`` called ``clock``."""
        self._tracer, self._span = tracer, span
        self._at_ns, self._clock = at_ns, clock
        self._context = set_span_in_context(span, Context())
        self._calls: list[CallSpan] = []
        self._works, self._ended = 0, False
        self.headers = span_headers(span)
        """The headers of calls below this span."""

    @property
    def recording(self) -> bool:
        """False for a request that is not sampled."""
        return self._span.is_recording()

    @property
    def ids(self) -> tuple[str, str]:
        """Trace id and span id, in hex."""
        context = self._span.get_span_context()
        return format(context.trace_id, "032x"), format(context.span_id, "016x")

    def call(self, method: str, url: str) -> CallSpan:
        """Begin the span of a call to another server; behind MOST_CALLS it is the request's own span that goes on in
        the call's headers. Any thread."""
        if len(self._calls) >= MOST_CALLS:
            return CallSpan(None, self.headers)
        span = self._tracer.start_span(
            "upstream",
            context=self._context,
            kind=SpanKind.CLIENT,
            attributes={METHOD: method, **address_attributes(url)},
        )
        call = CallSpan(span, span_headers(span))
        self._calls.append(call)
        return call

    def work(self, name: str, began: float, ended: float, note: WorkNote) -> None:
        """Add the span of work that has ended, at most MOST_WORK of them. Work that goes on for others when the request
        has ended, such as a text that is learned, is none of its own. Any thread."""
        if self._ended or self._works >= MOST_WORK:
            return
        self._works += 1
        told = {TOKENS: note.tokens, FRAMING: note.framing}
        attributes = {name: value for name, value in told.items() if value is not None}
        self.phase(TracedPhase(name, began, ended, attributes))

    def note(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Add attributes that are known before the end. Example: ``trace.note(asked_attributes(body))``."""
        self._span.set_attributes(attributes)

    def phase(self, phase: TracedPhase) -> None:
        """Add the span of a phase that has ended. A phase of no time is left out."""
        if phase.ended <= phase.began:
            return
        span = self._tracer.start_span(
            phase.name,
            context=self._context,
            kind=SpanKind.INTERNAL,
            attributes=phase.attributes,
            start_time=self._unix_ns(phase.began),
        )
        span.end(self._unix_ns(phase.ended))

    def end(
        self, name: str, attributes: Mapping[str, AttributeValue], error: str | None, *, failed: bool
    ) -> None:
        """End the span and the calls that are still open. ``error``: the type of the error that was the answer;
        ``failed``: it is this server's, and not the request's.

        Example: ``trace.end("chat qwen3-4b", {"http.response.status_code": 200}, None, failed=False)``
        """
        self._ended = True
        for call in self._calls:
            call.end()
        self._span.update_name(name)
        self._span.set_attributes(attributes)
        if error is not None:
            self._span.set_attribute(ERROR_TYPE, error)
        if failed:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(self._unix_ns(time.perf_counter()))

    def _unix_ns(self, moment: float) -> int:
        return self._at_ns + int((moment - self._clock) * 1e9)


class CallSpan:
    """The span of one call to another server: a :class:`~kvproxy.runtime.request_context.OutgoingCall`."""

    def __init__(self, span: Span | None, headers: Mapping[str, str]) -> None:
        """``span`` None: nothing is recorded."""
        self._span = span
        self.headers = headers

    def answered(self, status: int) -> None:
        """Note the answer's status; from 400 on it is the call's failure."""
        if self._span is None:
            return
        self._span.set_attribute(STATUS, status)
        if status >= 400:
            self._failed(str(status))

    def end(self, error: BaseException | None = None) -> None:
        """End the span; later calls change nothing."""
        span = self._span
        if span is None:
            return
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            span.set_attribute(ERROR_TYPE, "cancelled")  # by a client that left: nobody's failure
        elif error is not None:
            self._failed(type(error).__name__)
        self._span = None
        span.end()

    def _failed(self, kind: str) -> None:
        if self._span is not None:
            self._span.set_attribute(ERROR_TYPE, kind)
            self._span.set_status(Status(StatusCode.ERROR))

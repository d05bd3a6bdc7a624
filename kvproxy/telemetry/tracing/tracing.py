"""`Tracing`: begins the trace of each request, where there is a tracer to record it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from kvproxy.telemetry.tracing.request_trace import RequestTrace
from kvproxy.telemetry.tracing.trace_headers import incoming_context


@dataclass(frozen=True, slots=True)
class Tracing:
    """The tracer of one server. Without one no span is made, and a request's own trace headers are passed on."""

    tracer: Tracer | None = None
    document_ids: bool = False
    """True where spans may name documents."""
    providers: Mapping[str, str] = field(default_factory=dict)
    """The conventions' names of upstream models' providers, by the models' names here."""

    def parent(self, headers: Mapping[str, str]) -> Context | None:
        """Return the trace that a request's headers name; None without a sound one."""
        return incoming_context(headers)

    def begin(
        self, name: str, parent: Context | None, attributes: Mapping[str, AttributeValue]
    ) -> RequestTrace | None:
        """Begin a request's span; None where it is not recorded.

        Example: ``tracing.begin("POST /v1/chat/completions", None, {"http.request.method": "POST"})``
        """
        if self.tracer is None:
            return None
        at, clock = time.time_ns(), time.perf_counter()
        span = self.tracer.start_span(
            name,
            context=parent if parent is not None else Context(),
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=at,
        )
        return RequestTrace(self.tracer, span, at, clock)

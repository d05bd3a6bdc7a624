"""W3C trace context: read from a request's headers, and written for calls to other servers."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_W3C = TraceContextTextMapPropagator()

TraceParent = Context
"""The trace that a request came with."""


def incoming_context(headers: Mapping[str, str]) -> TraceParent | None:
    """Return the trace that a request belongs to; None where it names none, or writes it wrongly.

    Example: ``incoming_context({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})``
    """
    if "traceparent" not in headers:
        return None
    context = _W3C.extract(headers, Context())
    return None if get_current_span(context) is INVALID_SPAN else context


def span_headers(span: Span) -> dict[str, str]:
    """Return ``traceparent``, and ``tracestate`` where there is one, of calls below a span."""
    return context_headers(set_span_in_context(span, Context()))


def context_headers(context: TraceParent) -> dict[str, str]:
    """Return the headers of a context: what a request brought, passed on."""
    headers: dict[str, str] = {}
    _W3C.inject(headers, context)
    return headers

"""Spans of one provider in memory, as tests of the server look at them."""

from __future__ import annotations

from dataclasses import replace

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from kvproxy.telemetry.tracing.tracing import Tracing
from tests.server.doubles import Proxy


class KeptSpans:
    """A tracer of its own, and all spans that ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("test")

    def of(self, proxy: Proxy, *, document_ids: bool = False) -> Proxy:
        """Trace the requests of a proxy."""
        providers = {"gpt-far": "mistral_ai"}
        tracing = Tracing(self.tracer, document_ids=document_ids, providers=providers)
        proxy.components = replace(proxy.components, tracing=tracing)
        return proxy

    @property
    def all(self) -> list[ReadableSpan]:
        """The spans in the order of their ends."""
        return list(self._exporter.get_finished_spans())

    @property
    def requests(self) -> list[ReadableSpan]:
        """The requests' own."""
        return [span for span in self.all if span.kind is SpanKind.SERVER]

    def below(self, span: ReadableSpan) -> dict[str, ReadableSpan]:
        """Return the children of a span by their names."""
        context = span.get_span_context()
        assert context is not None
        return {s.name: s for s in self.all if s.parent is not None and s.parent.span_id == context.span_id}


def told(span: ReadableSpan) -> dict[str, object]:
    """Return a span's attributes."""
    return dict(span.attributes or {})

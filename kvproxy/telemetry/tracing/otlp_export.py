"""Spans to an OpenTelemetry collector by OTLP over HTTP, from a thread of the SDK's with a bounded queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider, Tracer

from kvproxy import __version__
from kvproxy.errors import SetupError

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

SHUTDOWN_S = 5.0
"""Seconds that the last spans may take at the end; what is not sent by then is lost."""

QUEUED = 4096
"""Spans that may wait for a slow collector; older ones are dropped."""

EXPORT_S = 5.0
"""Seconds that one batch may take, retries included."""


@dataclass(frozen=True, slots=True)
class TraceExport:
    """The collector, and the share of requests whose trace begins here that are sent to it."""

    endpoint: str | None = None
    """``http://collector:4318``, with or without ``/v1/traces``; None: OTEL_EXPORTER_OTLP_ENDPOINT, else
    ``http://localhost:4318``."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    sample_ratio: float = 1.0
    """0 to 1. A request that brings a trace follows the decision of its sender."""
    service_name: str | None = None
    """None: that of OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES, else kvproxy."""

    @property
    def url(self) -> str | None:
        """The address that spans are posted to; None: the environment's."""
        if self.endpoint is None:
            return None
        base = self.endpoint.rstrip("/")
        return base if base.endswith("/v1/traces") else f"{base}/v1/traces"


def embedding_tracer() -> Tracer | None:
    """Return the tracer of the provider that the process has set, an embedding application or
    ``opentelemetry-instrument``; None where none is."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, ProxyTracerProvider | NoOpTracerProvider):
        return None
    return provider.get_tracer("kvproxy", __version__)


@asynccontextmanager
async def exporting(export: TraceExport) -> AsyncIterator[Tracer]:
    """Open an exporter; send the last spans at the end, for at most SHUTDOWN_S.

    The provider is this block's own: the process's global one stays as it is. Raises SetupError without the extra.

    Example: ``async with exporting(TraceExport("http://collector:4318")) as tracer: ...``
    """
    provider = await asyncio.to_thread(_provider, export)
    try:
        yield provider.get_tracer("kvproxy", __version__)
    finally:
        await _shut_down(provider)


def _provider(export: TraceExport) -> TracerProvider:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as e:
        raise SetupError(
            f"telemetry.traces needs a package that is not installed ({e.name}): pip install 'kvproxy[otel]'"
        ) from e
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(export.sample_ratio)),
        resource=_resource(export.service_name),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=export.url, headers=dict(export.headers) or None, timeout=EXPORT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUED))
    return provider


def _resource(service_name: str | None) -> Resource:
    """Return what is said of this process with all of its spans; the environment's words before ours."""
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource

    told = Resource.create({SERVICE_VERSION: __version__})
    if service_name is None and not str(told.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return told
    return told.merge(Resource({SERVICE_NAME: service_name or "kvproxy"}))


async def _shut_down(provider: TracerProvider) -> None:
    """End the provider on a thread that a collector which does not answer cannot hold up the process by."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def told() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    def ended() -> None:
        try:
            provider.shutdown()
        finally:
            told()

    threading.Thread(target=ended, name="spans-end", daemon=True).start()
    try:
        async with asyncio.timeout(SHUTDOWN_S):
            await done.wait()
    except TimeoutError:
        pass

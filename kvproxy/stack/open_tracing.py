"""Opens the tracing of requests: by the provider of an embedding application, by OTLP, or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from kvproxy.settings.telemetry_settings import TelemetrySettings
from kvproxy.settings.upstream_settings import UpstreamSettings
from kvproxy.telemetry.tracing.attribute_names import provider_of
from kvproxy.telemetry.tracing.otlp_export import TraceExport, embedding_tracer, exporting
from kvproxy.telemetry.tracing.tracing import Tracing


@asynccontextmanager
async def open_tracing(
    settings: TelemetrySettings, upstreams: Sequence[UpstreamSettings] = ()
) -> AsyncIterator[Tracing]:
    """Open the tracing; at the end the last spans are sent, within a bound. Raises SetupError without the extra.

    Example: ``async with open_tracing(config.telemetry, config.upstreams) as tracing: ...``
    """
    providers = {upstream.name: provider_of(upstream.params["model"]) for upstream in upstreams}
    tracer = None if settings.traces == "off" else embedding_tracer()
    if tracer is not None or settings.traces != "otlp":
        yield Tracing(tracer, settings.document_ids, providers)
        return
    export = TraceExport(settings.endpoint, settings.headers, settings.sample_ratio, settings.service_name)
    async with exporting(export) as own:
        yield Tracing(own, settings.document_ids, providers)

"""Spans to a collector over HTTP: what arrives, and what a missing or silent one costs."""

from __future__ import annotations

import socket
import sys
import time

import pytest
from opentelemetry import trace

from kvproxy.errors import SetupError
from kvproxy.settings.telemetry_settings import TelemetrySettings
from kvproxy.settings.upstream_settings import UpstreamSettings
from kvproxy.stack.open_tracing import open_tracing
from kvproxy.telemetry.tracing.otlp_export import SHUTDOWN_S, TraceExport, embedding_tracer, exporting
from tests.telemetry.tracing.otlp_collector import collector


async def test_spans_arrive_with_the_service_and_the_headers() -> None:
    with collector() as told:
        export = TraceExport(told.url, {"x-key": "secret"}, service_name="kv-eu")
        async with exporting(export) as tracer:
            tracer.start_span("one").end()
        assert [span.name for span in told.spans] == ["one"], "the end of the block sends what waits"
        assert told.paths == ["/v1/traces"] and told.headers[0]["x-key"] == "secret"
        assert told.spans[0].resource["service.name"] == "kv-eu"
        assert told.spans[0].resource["service.version"]


@pytest.mark.parametrize(
    ("setting", "environment", "name"),
    [
        (None, {}, "kvproxy"),
        (None, {"OTEL_SERVICE_NAME": "kv-of-env"}, "kv-of-env"),
        (None, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=kv-of-list,k8s.pod.name=kv-0"}, "kv-of-list"),
        ("kv-of-file", {"OTEL_SERVICE_NAME": "kv-of-env"}, "kv-of-file"),
    ],
)
async def test_the_environment_names_the_service_where_no_setting_does(
    setting: str | None, environment: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    with collector() as told:
        async with exporting(TraceExport(told.url, service_name=setting)) as tracer:
            tracer.start_span("one").end()
    [span] = told.spans
    assert span.resource["service.name"] == name and span.resource["service.instance.id"]
    assert span.resource.get("k8s.pod.name") == ("kv-0" if name == "kv-of-list" else None)


async def test_the_environments_address_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as told:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", told.url)
        async with exporting(TraceExport()) as tracer:
            tracer.start_span("one").end()
        assert [span.name for span in told.spans] == ["one"]


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://otel.example/v1/traces", "https://otel.example/v1/traces"),
        (None, None),
    ],
)
def test_the_address_with_and_without_its_path(endpoint: str | None, url: str | None) -> None:
    assert TraceExport(endpoint).url == url


async def test_of_a_share_of_none_nothing_is_sent() -> None:
    with collector() as told:
        async with exporting(TraceExport(told.url, sample_ratio=0.0)) as tracer:
            span = tracer.start_span("one")
            assert not span.is_recording()
            span.end()
        assert told.spans == []


async def test_a_silent_collector_does_not_hold_up_the_end() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # connections are accepted by the system, and nothing is ever answered
        began = time.monotonic()
        async with exporting(TraceExport(f"http://127.0.0.1:{listening.getsockname()[1]}")) as tracer:
            tracer.start_span("one").end()
        assert time.monotonic() - began < SHUTDOWN_S + 20


async def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SetupError, match=r"pip install 'kvproxy\[otel\]'"):
        async with open_tracing(TelemetrySettings(traces="otlp")):
            pytest.fail("it opened")


async def test_the_embedding_applications_provider_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    async with open_tracing(TelemetrySettings()) as tracing:
        assert tracing.tracer is None and embedding_tracer() is None, "nobody set one"
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: TracerProvider(shutdown_on_exit=False))
    for traces in ("auto", "otlp"):
        async with open_tracing(TelemetrySettings(traces=traces)) as tracing:
            assert tracing.tracer is not None and tracing.tracer.start_span("one").is_recording()
    async with open_tracing(TelemetrySettings(traces="off")) as tracing:
        assert tracing.tracer is None


async def test_upstreams_are_known_by_their_providers() -> None:
    upstream = UpstreamSettings(name="far", params={"model": "mistral/mistral-small"})
    async with open_tracing(TelemetrySettings(), [upstream]) as tracing:
        assert tracing.providers == {"far": "mistral_ai"}

"""Settings of telemetry: traces by OpenTelemetry, and the form of the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from kvproxy.settings.section import Section


def _off_text(value: object) -> object:
    """Read YAML's ``off``, which is false there."""
    return "off" if value is False else value


class TelemetrySettings(Section):
    """Traces and log lines. Metrics are the server's: ``server.metrics``."""

    traces: Annotated[Literal["auto", "otlp", "off"], BeforeValidator(_off_text)] = "auto"
    """``auto``: to the tracer provider that the process has set, else none; ``otlp``: to a collector, or to that
    provider; ``off``: none in any case."""
    endpoint: str | None = None
    """A collector's OTLP/HTTP address; None: OTEL_EXPORTER_OTLP_ENDPOINT, else http://localhost:4318."""
    headers: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """Sent to the collector with every batch, such as its key."""
    sample_ratio: float = Field(default=1.0, ge=0, le=1)
    """Of requests that bring no trace; one that does follows its sender's decision."""
    service_name: str | None = Field(default=None, min_length=1)
    """``service.name`` of the spans; None: OTEL_SERVICE_NAME, else kvproxy."""
    document_ids: bool = False
    """True: spans name the document of a hit or miss, private ones too."""
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level of lines. ``debug`` is about kvproxy's own lines alone."""

    @field_validator("endpoint")
    @classmethod
    def _is_http(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not endpoint.startswith(("http://", "https://")):
            raise ValueError(f"'{endpoint}' is no address; write http://collector:4318, OTLP over HTTP")
        return endpoint

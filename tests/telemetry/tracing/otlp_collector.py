"""An OpenTelemetry collector in this process: takes OTLP over HTTP, parses its protobuf, and keeps the spans."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

KINDS = {
    Span.SPAN_KIND_SERVER: "server",
    Span.SPAN_KIND_CLIENT: "client",
    Span.SPAN_KIND_INTERNAL: "internal",
}


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as the collector has it."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the first one of a trace."""
    began_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    failed: bool
    resource: dict[str, Any]


class OtlpCollector(ThreadingHTTPServer):
    """Keeps what it is sent; ``wait_for`` waits for spans."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[ReceivedSpan] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._news = threading.Condition()

    @property
    def url(self) -> str:
        """Its address, as OTEL_EXPORTER_OTLP_ENDPOINT has one."""
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Keep the spans of one request."""
        spans = list(_read(body))
        with self._news:
            self.paths.append(path)
            self.headers.append(headers)
            self.spans += spans
            self._news.notify_all()

    def wait_for(self, wanted: Callable[[list[ReceivedSpan]], bool], within_s: float = 60.0) -> None:
        """Return once the spans so far are as wanted."""
        with self._news:
            seen = self._news.wait_for(lambda: wanted(self.spans), within_s)
            assert seen, [(s.name, s.attributes) for s in self.spans]

    def trace(self, trace_id: str) -> dict[str, ReceivedSpan]:
        """Return the spans of one trace by their names."""
        return {span.name: span for span in self.spans if span.trace_id == trace_id}

    def requests(self) -> list[ReceivedSpan]:
        """Return the requests' own spans, in the order of their arrival."""
        return sorted((s for s in self.spans if s.kind == "server"), key=lambda s: s.began_ns)


class _Handler(BaseHTTPRequestHandler):
    server: OtlpCollector
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.take(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _read(body: bytes) -> Iterator[ReceivedSpan]:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    for resource in request.resource_spans:
        of = {item.key: _value(item.value) for item in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    span.name,
                    KINDS[span.kind],
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    {item.key: _value(item.value) for item in span.attributes},
                    span.status.code == Status.STATUS_CODE_ERROR,
                    of,
                )


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    assert kind in ("string_value", "int_value", "double_value", "bool_value"), kind
    return getattr(value, kind)


@contextmanager
def collector() -> Iterator[OtlpCollector]:
    """Run a collector on a thread of its own."""
    with OtlpCollector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

"""The operations of the service itself: links, health, metrics, requests, documentation."""

from __future__ import annotations

from typing import Any

from kvproxy.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotReady,
    PermissionDenied,
    RouteNotFound,
    ShuttingDown,
)
from kvproxy.server.middleware import metering
from kvproxy.server.openapi import reference_pages
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation, Parameter
from kvproxy.server.openapi.operations.common_headers import IF_NONE_MATCH, UNCHANGED
from kvproxy.server.routes import health, requests_route, welcome
from kvproxy.wire.service.served_requests import KvRequestList, WatchEvent
from kvproxy.wire.service.service_types import Health, Welcome

_TAG = "Service"
_LAST = {
    "type": "integer",
    "minimum": 0,
    "maximum": requests_route.MOST_RECENT,
    "default": requests_route.RECENT,
}

SERVICE = (
    Operation(
        id="welcome",
        method="GET",
        path="/",
        handler=welcome.welcome,
        tag=_TAG,
        summary="List base URLs and links",
        description="Returns JSON, or a page for browsers.",
        answers=(DocumentedAnswer(Welcome, description="Base URLs and links."),),
        open=True,
    ),
    Operation(
        id="favicon",
        method="GET",
        path="/favicon.ico",
        handler=welcome.favicon,
        tag=_TAG,
        summary="Answer a browser's request for an icon",
        answers=(DocumentedAnswer(None, 204, "There is no icon."),),
        open=True,
    ),
    Operation(
        id="live",
        method="GET",
        path="/health/live",
        handler=health.live,
        tag=_TAG,
        summary="Check that the process answers",
        answers=(DocumentedAnswer(Health, description="The process answers."),),
        open=True,
    ),
    Operation(
        id="ready",
        method="GET",
        path="/health/ready",
        handler=health.ready,
        tag=_TAG,
        summary="Check that requests are served",
        answers=(DocumentedAnswer(Health, description="A request would be served now."),),
        errors=(NotReady, ShuttingDown),
        open=True,
    ),
    Operation(
        id="metrics",
        method="GET",
        path="/metrics",
        handler=metering.show,
        needs="metrics",
        tag=_TAG,
        summary="Get metrics for Prometheus",
        description=(
            "The metrics of all tenants together. Needs `server.metrics_key` where that is set, else a key "
            "with the scope `metrics` where the proxy has keys. `server.metrics: false` turns it off."
        ),
        answers=(DocumentedAnswer(str, description="Prometheus' text format.", content="text/plain"),),
        errors=(AuthenticationFailed, PermissionDenied, RouteNotFound),
        open=True,
        key=True,
    ),
    Operation(
        id="listRequests",
        method="GET",
        path="/kv/v1/requests",
        handler=requests_route.requests,
        needs="read",
        tag=_TAG,
        summary="List the requests for models that have ended",
        description=(
            "The caller's own requests: the client, the cached tokens of the prompt, the reason of a miss; no text. "
            "With `Accept: text/event-stream` the newest requests are sent as events, and each later one when it "
            "ends: events `request`, and `missed` when the reader is too slow. `kvproxy watch` shows them."
        ),
        parameters=(
            Parameter("last", "query", _LAST, "The number of requests that have already ended.", "20"),
        ),
        answers=(DocumentedAnswer(KvRequestList, description="The newest requests, oldest first."),),
        events=WatchEvent,
        errors=(InvalidRequest,),
    ),
    Operation(
        id="openapi",
        method="GET",
        path="/openapi.json",
        handler=reference_pages.openapi,
        tag=_TAG,
        summary="Get this description as JSON",
        parameters=(IF_NONE_MATCH,),
        answers=(
            DocumentedAnswer(dict[str, Any], description="An OpenAPI 3.1 document.", headers=("ETag",)),
            UNCHANGED,
        ),
        open=True,
    ),
    Operation(
        id="docs",
        method="GET",
        path="/docs",
        handler=reference_pages.docs,
        tag=_TAG,
        summary="Get this description as a page",
        parameters=(IF_NONE_MATCH,),
        answers=(
            DocumentedAnswer(str, description="An HTML page.", headers=("ETag",), content="text/html"),
            UNCHANGED,
        ),
        open=True,
    ),
)

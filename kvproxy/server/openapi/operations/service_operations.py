"""The server about itself. No key is needed for any of it but the figures."""

from __future__ import annotations

from typing import Any

from kvproxy.errors import AuthenticationFailed, InvalidRequest, NotReady, RouteNotFound, ShuttingDown
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
        summary="Where things are",
        description="A page for browsers.",
        answers=(DocumentedAnswer(Welcome, description="Addresses and links."),),
        open=True,
    ),
    Operation(
        id="favicon",
        method="GET",
        path="/favicon.ico",
        handler=welcome.favicon,
        tag=_TAG,
        summary="No icon",
        answers=(DocumentedAnswer(None, 204, "Browsers ask."),),
        open=True,
    ),
    Operation(
        id="live",
        method="GET",
        path="/health/live",
        handler=health.live,
        tag=_TAG,
        summary="Whether the process answers",
        answers=(DocumentedAnswer(Health, description="It does."),),
        open=True,
    ),
    Operation(
        id="ready",
        method="GET",
        path="/health/ready",
        handler=health.ready,
        tag=_TAG,
        summary="Whether a request would be served now",
        answers=(DocumentedAnswer(Health, description="It would."),),
        errors=(NotReady, ShuttingDown),
        open=True,
    ),
    Operation(
        id="metrics",
        method="GET",
        path="/metrics",
        handler=metering.show,
        tag=_TAG,
        summary="Figures for Prometheus",
        description=(
            "Of all tenants together. Asks for `server.metrics_key` where that is set, else for any of the proxy's "
            "keys where it has some. `server.metrics: false` takes it away."
        ),
        answers=(DocumentedAnswer(str, description="Prometheus' text format.", content="text/plain"),),
        errors=(AuthenticationFailed, RouteNotFound),
        open=True,
        key=True,
    ),
    Operation(
        id="listRequests",
        method="GET",
        path="/kv/v1/requests",
        handler=requests_route.requests,
        tag=_TAG,
        summary="Requests for models that have ended, and those that do",
        description=(
            "The caller's own: who asked, how much of the prompt was cached, and why not; no text. With `Accept: "
            "text/event-stream` the newest are followed by every further one: events `request`, and `missed` "
            "when the reader is too slow. `kvproxy watch` shows them."
        ),
        parameters=(Parameter("last", "query", _LAST, "How many that have ended already.", "20"),),
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
        summary="This description, for programs",
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
        summary="This description, for people",
        parameters=(IF_NONE_MATCH,),
        answers=(
            DocumentedAnswer(str, description="A page.", headers=("ETag",), content="text/html"),
            UNCHANGED,
        ),
        open=True,
    ),
)

"""The operations of figures: the overview, and the newest misses."""

from __future__ import annotations

from kvproxy.core import MissCause
from kvproxy.errors import AccountNotFound, InvalidRequest
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation, Parameter
from kvproxy.server.routes import overview_route
from kvproxy.telemetry.usage.tenant_usage import MOST_MISSES
from kvproxy.telemetry.usage.usage_series import STEPS
from kvproxy.wire.service.usage_bodies import KvMissList, KvOverview

_TAG = "Service"
_PRIVATE = ("Cache-Control",)
_TENANT = Parameter(
    "tenant",
    "query",
    {"type": "string"},
    "Another tenant, or `all` for all together: for keys with the scope `admin`.",
    "all",
)

FIGURES = (
    Operation(
        id="retrieveOverview",
        method="GET",
        path="/kv/v1/overview",
        handler=overview_route.overview,
        needs="read",
        tag=_TAG,
        summary="Get one's own figures",
        description=(
            "Requests, tokens skipped, seconds and money saved, today and in all; times to the first token of hits "
            "beside misses, and misses by cause, of the last two hours; the state of the proxy. `engine` is of all "
            "tenants together, for keys with the scope `metrics` or `admin`. `kvproxy top` and `kvproxy status` show "
            "it."
        ),
        parameters=(
            _TENANT,
            Parameter(
                "points",
                "query",
                {"type": "integer", "minimum": 0, "maximum": STEPS, "default": overview_route.POINTS},
                "Minutes of the series.",
                "10",
            ),
        ),
        answers=(DocumentedAnswer(KvOverview, description="The figures.", headers=_PRIVATE),),
        errors=(InvalidRequest, AccountNotFound),
    ),
    Operation(
        id="listMisses",
        method="GET",
        path="/kv/v1/misses",
        handler=overview_route.misses,
        needs="read",
        tag=_TAG,
        summary="List one's own newest misses",
        description=(
            f"The newest {MOST_MISSES} of each tenant are kept in memory, without any text; those of tenants and "
            "requests that retain nothing are not. The causes are those of docs/misses.md."
        ),
        parameters=(
            _TENANT,
            Parameter(
                "cause",
                "query",
                {"type": "string", "enum": [cause.value for cause in MissCause]},
                "Only this cause.",
                "timestamp",
            ),
            Parameter(
                "most",
                "query",
                {"type": "integer", "minimum": 0, "maximum": MOST_MISSES, "default": overview_route.MISSES},
                "The number of misses.",
                "20",
            ),
        ),
        answers=(DocumentedAnswer(KvMissList, description="Newest first.", headers=_PRIVATE),),
        errors=(InvalidRequest, AccountNotFound),
    ),
)

"""The operations on the whole store: check and repair."""

from __future__ import annotations

from kvproxy.errors import InvalidRequest, RouteNotFound, StorageFull
from kvproxy.server.openapi.operation import DocumentedAnswer, Operation, Parameter
from kvproxy.server.requests.query_switches import SWITCH
from kvproxy.server.routes import upkeep_route
from kvproxy.wire.service.upkeep_bodies import KvCheck, KvRepair

_TAG = "Service"

UPKEEP = (
    Operation(
        id="checkStore",
        method="POST",
        path="/kv/v1/check",
        handler=upkeep_route.check_store,
        needs="admin",
        tag=_TAG,
        summary="Check the store",
        description=(
            "Reads the registry, the pages (a random choice of up to 2 GiB, or all with `deep`), manifests, stored "
            "responses and the pages in memory against their checksums and each other. Changes nothing; requests are "
            "served meanwhile."
        ),
        parameters=(
            Parameter("deep", "query", {"type": "string", "enum": list(SWITCH)}, "Read every page.", "true"),
        ),
        answers=(DocumentedAnswer(KvCheck, description="The findings."),),
        errors=(InvalidRequest, RouteNotFound),
    ),
    Operation(
        id="repairStore",
        method="POST",
        path="/kv/v1/repair",
        handler=upkeep_route.repair_store,
        needs="admin",
        tag=_TAG,
        summary="Repair the store",
        description=(
            "Drops damaged pages, stored responses and aliases of nothing, and computes missing pages of documents "
            "again in the background. A damaged index or registry needs a start, or `kvproxy repair` without a "
            "running proxy."
        ),
        answers=(DocumentedAnswer(KvRepair, description="What was mended, and what is left."),),
        errors=(RouteNotFound, StorageFull),
    ),
)

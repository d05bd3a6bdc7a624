"""Handlers of ``/kv/v1/overview`` and ``/kv/v1/misses``: the figures of one tenant, and for admins of all."""

from __future__ import annotations

import time

from aiohttp import web

from kvproxy import __version__
from kvproxy.core import Caller, MissCause
from kvproxy.errors import InvalidRequest
from kvproxy.server.answers.usage_answers import (
    engine_body,
    miss_body,
    point_body,
    recent_body,
    sums_body,
    tier_body,
)
from kvproxy.server.components import CALLER, COMPONENTS, Components
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.shown_figures import figures_of, shown_figures
from kvproxy.telemetry.usage.tenant_usage import MOST_MISSES
from kvproxy.telemetry.usage.usage_series import STEPS
from kvproxy.wire.bodies.whole_number import whole_number
from kvproxy.wire.service.usage_bodies import KvMissList, KvOverview, KvPublishedSums

POINTS = 60
MISSES = 20
_PRIVATE = {"Cache-Control": "private, no-store"}


async def overview(request: web.Request) -> web.StreamResponse:
    """Return the figures of the caller's tenant, or of all tenants together for an admin."""
    tenant, points = figures_of(request), _number(request, "points", POINTS, STEPS)
    components, now = request.app[COMPONENTS], time.time()
    found = await components.usage.overview(None if tenant is None else tenant.name, now)
    reason = "it is shutting down" if components.drain.draining else components.ready()
    engine = shown_figures(components, request[CALLER])
    state = None if engine is None or components.store_state is None else components.store_state()
    body: KvOverview = {
        "object": "kv_overview",
        "tenant": None if tenant is None else tenant.name,
        "at": round(now, 3),
        "version": __version__,
        "uptime_s": max(0, int(now) - components.created),
        "ready": reason is None,
        "reason": reason,
        "degraded": _degraded(components),
        "models": list(components.served_names),
        "published": _published(components, tenant),
        "today": sums_body(found.today),
        "total": sums_body(found.total),
        "recent": recent_body(found),
        "series": [point_body(point) for point in found.series[STEPS - points :]],
        "engine": None if engine is None else engine_body(engine),
        "store": None if state is None else [tier_body(tier) for tier in state.tiers],
    }
    return json_response(body, headers=_PRIVATE)


async def misses(request: web.Request) -> web.StreamResponse:
    """List the newest requests that missed, newest first, of one cause where one is named."""
    tenant, most = figures_of(request), _number(request, "most", MISSES, MOST_MISSES)
    cause = request.query.get("cause")
    if cause is not None and cause not in (causes := [each.value for each in MissCause]):
        raise InvalidRequest(f"Invalid 'cause': must be one of {', '.join(causes)}.", param="cause")
    usage, caller = request.app[COMPONENTS].usage, request[CALLER]
    found = usage.misses(None if tenant is None else tenant.name, most, cause)
    own = tenant is not None and tenant.name == caller.name
    body: KvMissList = {"object": "list", "data": [miss_body(entry, own=own) for entry in found]}
    return json_response(body, headers=_PRIVATE)


def _degraded(components: Components) -> list[str]:
    ledger = None if components.market is None else components.market.ledger
    return ["database"] if ledger is not None and ledger.away else []


def _published(components: Components, tenant: Caller | None) -> KvPublishedSums:
    library = components.publisher.library
    if tenant is None:
        return {"versions": len(library), "tokens": None, "pages": None}
    usage = library.usage(tenant.scope)
    return {"versions": usage.versions, "tokens": usage.tokens, "pages": usage.pages}


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    number = whole_number(request.query.get(name, str(default)), most)
    if number is None:
        raise InvalidRequest(f"Invalid '{name}': must be an integer of 0 to {most}.", param=name)
    return number

"""Handlers of ``/kv/v1/check`` and ``/kv/v1/repair``."""

from __future__ import annotations

from aiohttp import web

from kvproxy.errors import RouteNotFound
from kvproxy.server.components import COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.requests.query_switches import is_true
from kvproxy.upkeep.live_upkeep import LiveUpkeep
from kvproxy.wire.service.upkeep_bodies import KvCheck, KvRepair


async def check_store(request: web.Request) -> web.StreamResponse:
    """Check the store beside the requests that run; nothing is changed."""
    found = await _upkeep(request).check(deep=is_true(request, "deep"))
    body: KvCheck = {
        "object": "kv_check",
        "sound": found.sound,
        "faults": [fault.line for fault in found.faults],
        "notes": list(found.notes),
        "looked": dict(found.looked),
    }
    return json_response(body)


async def repair_store(request: web.Request) -> web.StreamResponse:
    """Drop what is damaged; missing pages are computed again in the background."""
    done = await _upkeep(request).repair()
    body: KvRepair = {
        "object": "kv_repair",
        "sound": not done.left,
        "mended": [fault.line for fault in done.mended],
        "faults": [fault.line for fault in done.left],
        "notes": list(done.notes),
    }
    return json_response(body)


def _upkeep(request: web.Request) -> LiveUpkeep:
    upkeep = request.app[COMPONENTS].upkeep
    if upkeep is None:
        raise RouteNotFound(
            f"Invalid URL ({request.method} {request.path}): this proxy keeps no pages, which a fleet's replicas hold "
            "themselves, so that there is nothing to check."
        )
    return upkeep

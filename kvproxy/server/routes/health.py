"""Handlers of ``/health/live`` (the process answers) and ``/health/ready`` (a request would be served now)."""

from __future__ import annotations

from aiohttp import web

from kvproxy.errors import NotReady
from kvproxy.server.components import COMPONENTS
from kvproxy.server.middleware.error_responses import json_response
from kvproxy.server.shutdown import shutting_down
from kvproxy.wire.service.service_types import Health


async def live(request: web.Request) -> web.StreamResponse:
    """Answer as long as the process does."""
    health: Health = {"status": "live"}
    return json_response(health)


async def ready(request: web.Request) -> web.StreamResponse:
    """Answer when a request would be served now, if only from what is in memory: a database that is away makes it
    degraded, and not unready. Raises NotReady, ShuttingDown."""
    components = request.app[COMPONENTS]
    if components.drain.draining:
        raise shutting_down()
    reason = components.ready()
    if reason is not None:
        raise NotReady(f"Not ready: {reason}.")
    health: Health = {"status": "ready"}
    ledger = None if components.market is None else components.market.ledger
    if ledger is not None and ledger.away:
        health["degraded"] = ["database"]
    return json_response(health)

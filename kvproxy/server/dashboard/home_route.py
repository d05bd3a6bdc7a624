"""The handler of ``GET /ui``: the view that a visitor sees first."""

from __future__ import annotations

import asyncio

from aiohttp import web

from kvproxy.errors import PermissionDenied
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.dashboard.dashboard_answer import done_answer, scope_of
from kvproxy.server.dashboard.dashboard_route import DASHBOARD

PLAYGROUND = "/ui/playground"


async def home(request: web.Request) -> web.StreamResponse:
    """Lead to the playground while nothing is published, else to the first view that the key may see."""
    scope = scope_of(request)
    entries = [row.path for row in request.app[DASHBOARD].routes if row.label and scope.may(*row.needs)]
    if PLAYGROUND in entries and not await _anything_to_read(request):
        return done_answer(request, "", PLAYGROUND)
    if not entries:
        raise PermissionDenied("Your API key has a scope for no view: log in with another key.")
    return done_answer(request, "", entries[0])


async def _anything_to_read(request: web.Request) -> bool:
    libraries = [model.library for model in request.app[COMPONENTS].pipeline.models]
    # Every document is looked at, but where there are none.
    return any([len(x) > 0 and await asyncio.to_thread(x.ids, request[CALLER]) for x in libraries[:1]])

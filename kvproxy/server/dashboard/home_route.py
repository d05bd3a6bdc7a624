"""The handler of ``GET /ui``: the view that a visitor sees first."""

from __future__ import annotations

from aiohttp import web

from kvproxy.documents.library.document_listing import ListingQuery
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
    listed = await request.app[COMPONENTS].publisher.listed(request[CALLER], ListingQuery(most=1))
    return listed.visible > 0

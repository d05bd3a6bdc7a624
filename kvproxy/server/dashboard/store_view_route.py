"""Handlers of the view of the page store, and of its check beside the requests that run."""

from __future__ import annotations

import asyncio

from aiohttp import web

from kvproxy.core import Caller
from kvproxy.dashboard.view_scope import ViewScope
from kvproxy.dashboard.views.row_pages import ROWS
from kvproxy.dashboard.views.store_view import (
    QuarantinedDocument,
    StoreView,
    check_result,
    damage_lines,
    tier_rows,
)
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.errors import RouteNotFound
from kvproxy.publish import Publisher
from kvproxy.server.components import CALLER, COMPONENTS, Components
from kvproxy.server.dashboard.dashboard_access import read_form
from kvproxy.server.dashboard.dashboard_answer import done_answer, fragment_answer, view_answer
from kvproxy.server.dashboard.dashboard_route import DASHBOARD
from kvproxy.server.dashboard.named_documents import naming

STORE = "/ui/store"


async def store(request: web.Request) -> web.StreamResponse:
    """Show the tiers, the quarantine, reports of damage and the last check."""
    view = await _view(request.app[COMPONENTS], request[CALLER])
    return view_answer(request, "store.html", {"store": view})


async def check(request: web.Request) -> web.StreamResponse:
    """Check the store, as ``POST /kv/v1/check`` does, and show what was found."""
    components = request.app[COMPONENTS]
    if components.upkeep is None:
        raise RouteNotFound("This proxy keeps no pages itself, so that there is nothing to check.")
    form = await read_form(request)
    found = await components.upkeep.check(deep="deep" in form)
    view = await _view(components, request[CALLER])
    if "HX-Request" in request.headers:
        return fragment_answer(request, "fragments/store_check.html", {"store": view})
    number = len(found.faults)
    notice = (
        "The store is sound." if found.sound else f"The check found {number} faults: they are listed below."
    )
    return done_answer(request, notice, f"{STORE}#check")


async def tiers_fragment(app: web.Application, scope: ViewScope) -> str:
    """Return the tiers of the store as they are now."""
    view = await _view(app[COMPONENTS], scope.caller, files=False)
    return app[DASHBOARD].files.render("fragments/store_tiers.html", {"store": view})


async def _view(components: Components, caller: Caller, *, files: bool = True) -> StoreView:
    """Return the view; without ``files`` no file is read, and reports of damage are left out."""
    upkeep, publisher = components.upkeep, components.publisher
    state = None if components.store_state is None else components.store_state()
    may_name = naming(publisher.library, caller)
    damage = [] if upkeep is None or not files else await asyncio.to_thread(upkeep.damage_reports)
    confined = publisher.library.in_quarantine()
    return StoreView(
        state,
        () if state is None else tier_rows(state),
        tuple(_quarantined(publisher, known, caller) for known in confined[:ROWS]),
        len(confined),
        damage_lines(damage, may_name),
        len(damage),
        None if upkeep is None or upkeep.last is None else check_result(upkeep.last, may_name),
        upkeep is not None and upkeep.running,
    )


def _quarantined(publisher: Publisher, known: KnownDocument, caller: Caller) -> QuarantinedDocument:
    ref = known.document.ref
    seen = any(other.document.ref == ref for other in publisher.library.versions(ref.id, caller))
    since, reason = publisher.quarantine.since(ref), known.quarantined or ""
    return QuarantinedDocument(str(ref) if seen else None, since, reason)

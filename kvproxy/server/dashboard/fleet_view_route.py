"""The handler of the view of fleets: replicas with their health, and the part of each document that they hold."""

from __future__ import annotations

import asyncio

from aiohttp import web

from kvproxy.core import Caller, Kept
from kvproxy.dashboard.view_scope import ViewScope
from kvproxy.dashboard.views.fleet_view import DocumentShares, fleet_view
from kvproxy.dashboard.views.row_pages import ROWS, RowPage, page_at, page_start
from kvproxy.documents.library.document_listing import ListingQuery
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.served_model import ServedModel
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.dashboard.dashboard_answer import view_answer
from kvproxy.server.dashboard.dashboard_route import DASHBOARD


async def fleet(request: web.Request) -> web.StreamResponse:
    """Show one fleet: that of ``?fleet=…``, else the first."""
    components = request.app[COMPONENTS]
    fleets = components.fleets()
    if not fleets:
        return view_answer(request, "fleet.html", {"fleet": None, "names": ()})
    chosen = next((one for one in fleets if one.fleet == request.query.get("fleet")), fleets[0])
    model = components.served(chosen.fleet)
    wanted = request.query.get("id", "").strip()
    page, visible = await _page(request, wanted)
    shares = [await _shares(model, id, request[CALLER]) for id in page.rows]
    view = fleet_view(chosen, [one for one in shares if one is not None], request.query)
    shown = {
        "fleet": view,
        "names": tuple(one.fleet for one in fleets),
        "documents": page,
        "wanted": wanted,
        "hidden": len(model.library) > 0 and not visible,
        "live": not request.query_string,
    }
    return view_answer(request, "fleet.html", shown)


async def _page(request: web.Request, wanted: str) -> tuple[RowPage[str], int]:
    """Return the page of ids that is asked for, and the number of ids that the caller may see."""
    publisher, caller = request.app[COMPONENTS].publisher, request[CALLER]
    start = page_start(request.query, 10**9, param="documents")
    listed = await publisher.listed(caller, ListingQuery(wanted[:128], start=start, most=ROWS))
    if not listed.documents and listed.found:
        start = page_start(request.query, listed.found, param="documents")
        listed = await publisher.listed(caller, ListingQuery(wanted[:128], start=start, most=ROWS))
    ids = [known.document.id for known in listed.documents]
    begin = start if ids else 0
    return page_at(ids, begin, listed.found, request.query, param="documents"), listed.visible


async def replicas_fragment(app: web.Application, scope: ViewScope) -> str:
    """Return the table of the first fleet's replicas as it is now."""
    fleets = app[COMPONENTS].fleets()
    view = fleet_view(fleets[0], (), {}) if fleets else None
    return app[DASHBOARD].files.render("fragments/fleet_replicas.html", {"fleet": view})


async def _shares(model: ServedModel, id: str, caller: Caller) -> DocumentShares | None:
    """Return what each replica holds of the newest version of a document that the caller may see; None where it has
    gone meanwhile."""
    await asyncio.sleep(0)  # hashing the blocks of a long document takes its time, and a page has many
    versions = model.library.versions(id, caller)
    return _version_shares(model, versions[-1], caller) if versions else None


def _version_shares(model: ServedModel, known: KnownDocument, caller: Caller) -> DocumentShares:
    reader = caller.reading([known.document.scope])
    block = model.backend.info.page_tokens
    best = DocumentShares(str(known.document.ref), len(known.tokenized.token_ids), {}, block)
    for prefix in known.prefixes:
        kept = Kept(model.fingerprint, prefix.token_ids, (), 0, 0.0, 0)
        held = {one.replica: one.tokens for one in model.backend.replicas_of(kept, reader)}
        if not best.held or sum(held.values()) > sum(best.held.values()):
            best = DocumentShares(best.document, len(prefix.token_ids), held, block)
    return best

"""Handlers of the list of documents and of the view of one."""

from __future__ import annotations

import time

from aiohttp import web

from kvproxy.core import DocumentRef
from kvproxy.dashboard.table_order import TableOrder
from kvproxy.dashboard.views.documents_view import (
    SORTS,
    DocumentsView,
    DocumentView,
    document_path,
    listing_query,
    reads_chart,
)
from kvproxy.dashboard.views.paste_lines import paste_lines
from kvproxy.dashboard.views.playground_view import question_for
from kvproxy.errors import PermissionDenied
from kvproxy.server.answers.served_framings import framings_elsewhere
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.dashboard.dashboard_answer import scope_of, view_answer
from kvproxy.server.dashboard.document_figures import document_rows, has_prices
from kvproxy.server.middleware.wrong_url import root_of
from kvproxy.server.requests.document_refs import ref_of
from kvproxy.server.requests.shown_replicas import names_replicas

_EXCERPT = 1200
"""Characters of the text that the view of a document shows."""


async def documents_view(request: web.Request) -> web.StreamResponse:
    """Show 50 of the documents that the caller may read."""
    components, scope = request.app[COMPONENTS], scope_of(request)
    order = TableOrder.asked(request.query, SORTS, default="id")
    query = listing_query(request.query, order)
    listed = await components.publisher.listed(scope.caller, query)
    infos = await components.publisher.views((k.document.ref for k in listed.documents), scope.caller)
    there = {(info.id, info.version): info for info in infos}
    shown = [
        (known, there[known.document.id, known.document.version])
        for known in listed.documents
        if (known.document.id, known.document.version) in there
    ]
    view = DocumentsView(
        rows=await document_rows(request, shown),
        order=order,
        query=query,
        found=listed.found,
        visible=listed.visible,
        may_publish=scope.may("publish"),
        priced=has_prices(components.market),
        checked=components.market is not None and components.market.catalog is not None,
        most_text=components.max_body,
    )
    return view_answer(request, "documents.html", {"documents": view})


async def document_view(request: web.Request) -> web.StreamResponse:
    """Show one version of a document, with what can be done with it. Raises DocumentNotFound, Gone."""
    components, caller = request.app[COMPONENTS], request[CALLER]
    publisher, library = components.publisher, components.publisher.library
    known = library.resolve(ref_of(request), caller)
    document = known.document
    versions = library.versions(document.id, caller)
    infos = await publisher.views((one.document.ref for one in versions), caller)
    info = next(one for one in infos if (one.version, one.etag) == (document.version, document.etag))
    [row] = await document_rows(request, [(known, info)])
    model = components.pipeline.models.primary.name
    question = question_for(document.ref)
    name = f"{document.id}@{document.version}"
    confirm = request.query.get("confirm", "")
    days = await components.usage.document_days(document.ref, None if row.own else caller.name)
    view = DocumentView(
        row=row,
        versions=tuple(sorted(infos, key=lambda one: -one.version)),
        withdrawn=tuple(library.ended(DocumentRef(document.id), caller)),
        pasted=paste_lines(root_of(request), model, name, question, keyed=not components.keyring.empty),
        chart=reads_chart(days, time.time()),
        confirm=confirm if confirm in ("revoke", "delete") else "",
        named=name,
        may_change=row.own and scope_of(request).may("publish"),
        names_replicas=names_replicas(request),
        fleet=components.pipeline.models.primary.backend.info.fleet,
        excerpt=await _excerpt(request, document.ref),
        models=tuple(
            (one.model, max((framing.resident_tokens for framing in one.framings), default=0))
            for one in framings_elsewhere(components.further_models, document.ref, caller)
        ),
    )
    priced = has_prices(components.market)
    keyed = not components.keyring.empty
    shown = {"document": view, "priced": priced, "document_path": document_path, "keyed": keyed}
    return view_answer(request, "document.html", shown)


async def _excerpt(request: web.Request, ref: DocumentRef) -> str:
    """Return the beginning of the text; nothing where the caller reads it by a grant."""
    try:
        text = await request.app[COMPONENTS].publisher.text(DocumentRef(ref.id, ref.version), request[CALLER])
    except PermissionDenied:
        return ""
    return text[:_EXCERPT] + ("…" if len(text) > _EXCERPT else "")

"""`document_rows`: documents with their use, price and last check, as far as a caller may see each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import cast

from aiohttp import web

from kvproxy.catalog.catalog_notes import LastCheck
from kvproxy.catalog.offered_terms import OfferedTerms
from kvproxy.core import Caller, DocumentRef
from kvproxy.dashboard.views.documents_view import DocumentRow, document_row, price_text
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.document_info import DocumentInfo
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.server.components import CALLER, COMPONENTS
from kvproxy.server.market import Market
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.terms_book import TermsBook
from kvproxy.tariffs.terms_text import format_percent
from kvproxy.telemetry.usage.document_use import DocumentUse


async def document_rows(
    request: web.Request, shown: Sequence[tuple[KnownDocument, DocumentInfo]]
) -> tuple[DocumentRow, ...]:
    """Return the rows of documents that the caller may see. Of its own it sees everybody's reads, of others its own.

    Example: ``rows = await document_rows(request, [(known, info)])``
    """
    components, caller = request.app[COMPONENTS], request[CALLER]
    market = components.market
    library = components.publisher.library
    named = [
        (library.rights.publisher(known.document.owner_scope), known.document.id, known.document.version)
        for known, _ in shown
    ]
    checks: Sequence[LastCheck | None] = [None] * len(shown)
    prices = [""] * len(shown)
    if market is not None:
        if market.catalog is not None:
            checks = await market.catalog.last_checks(named)
        prices = await asyncio.to_thread(
            _prices, market, library, [known.document for known, _ in shown], caller
        )
    uses = await _uses(request, [known for known, _ in shown], caller)
    return tuple(
        document_row(
            info,
            uses.get(known.document.ref, DocumentUse()),
            own=known.document.owner_scope == caller.scope,
            price=price,
            check=check,
        )
        for (known, info), price, check in zip(shown, prices, checks, strict=True)
    )


async def _uses(
    request: web.Request, shown: Sequence[KnownDocument], caller: Caller
) -> dict[DocumentRef, DocumentUse]:
    usage = request.app[COMPONENTS].usage
    own = [known.document.ref for known in shown if known.document.owner_scope == caller.scope]
    others = [known.document.ref for known in shown if known.document.owner_scope != caller.scope]
    found: dict[DocumentRef, DocumentUse] = {}
    if own:
        found.update(await usage.documents(own, None))
    if others:
        found.update(await usage.documents(others, caller.name))
    return found


def has_prices(market: Market | None) -> bool:
    """Return whether a tariff counts now, without which no price does."""
    if market is None or market.tariffs is None or market.terms is None:
        return False
    return cast(Tariffs, market.tariffs).at(int(time.time() * 1000)) is not None


def _prices(market: Market, library: Library, shown: Sequence[Document], caller: Caller) -> list[str]:
    """Return what each document costs this reader: by the terms of the grant that lets it in, where that has some."""
    if not has_prices(market) or market.grants is None:
        return [""] * len(shown)
    terms = OfferedTerms(market.grants, cast(TermsBook, market.terms))
    prices = []
    for document in shown:
        publisher = library.rights.publisher(document.owner_scope)
        t = terms.of(document.id, publisher, _grant(library, document, caller)) if publisher else None
        prices.append(
            ""
            if t is None
            else price_text(t.kind, format_percent(t.share_ppm), t.nano_per_1000, market.currency)
        )
    return prices


def _grant(library: Library, document: Document, caller: Caller) -> str | None:
    if document.visibility != "granted" or document.owner_scope == caller.scope:
        return None
    return library.rights.right(document, caller).grant

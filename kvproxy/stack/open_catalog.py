"""Opens the offers of the market: the catalog of documents with their prices, and the desk that makes quotes."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.backends.base import LocalBackend
from kvproxy.catalog.catalog_notes import CatalogNotes
from kvproxy.catalog.document_catalog import Catalog
from kvproxy.catalog.offered_documents import LibraryOffers
from kvproxy.catalog.quote_desk import QuoteDesk
from kvproxy.core import Span
from kvproxy.errors import NotFound
from kvproxy.stack.open_documents import PublishedDocuments
from kvproxy.stack.open_market import OpenMarket
from kvproxy.tariffs import FREE, DocumentTerms


@dataclass(frozen=True, slots=True)
class OpenCatalog:
    """The offers of the market."""

    catalog: Catalog
    desk: QuoteDesk


def make_catalog(
    market: OpenMarket, documents: PublishedDocuments, local: LocalBackend, *, default_max_tokens: int | None
) -> OpenCatalog:
    """Make the catalog and the desk of quotes. Nothing has to be closed, and nothing is read yet.

    Example:
        ``make_catalog(market, documents, engine.local, default_max_tokens=None)``
    """
    model = market.host.model
    catalog = Catalog(
        offers=LibraryOffers(documents.library),
        notes=CatalogNotes(market.database),
        tariffs=market.tariffs,
        terms=market.terms,
        model=model,
    )
    desk = QuoteDesk(
        composer=documents.composer,
        local=local,
        catalog=catalog,
        quotes=market.quotes,
        tariffs=market.tariffs,
        terms=_TermsOfReaders(market),
        model=model,
        default_max_tokens=default_max_tokens,
    )
    return OpenCatalog(catalog, desk)


class _TermsOfReaders:
    """The terms of a document for the reader of a prompt: its grant's own, else the publisher's."""

    def __init__(self, market: OpenMarket) -> None:
        self._grants, self._terms = market.grants, market.terms

    def of(self, span: Span) -> DocumentTerms:
        """Return the terms now. Blocking: those of a grant may be in the database alone."""
        if not span.publisher:
            return FREE
        granted = self._of_grant(span)
        found = None if granted is None else self._terms.by_id(granted)
        return self._terms.terms(span.document.id, span.publisher) if found is None else found

    def _of_grant(self, span: Span) -> str | None:
        try:
            return None if span.grant is None else self._grants.get(span.grant).terms
        except NotFound:  # revoked since the prompt was composed
            return None

"""Opens the offers of the market: the catalog of documents with their prices, and the desk that makes quotes."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.backends.base import LocalBackend
from kvproxy.catalog.catalog_notes import CatalogNotes
from kvproxy.catalog.document_catalog import Catalog
from kvproxy.catalog.offered_documents import LibraryOffers
from kvproxy.catalog.quote_desk import QuoteDesk
from kvproxy.charging.reader_terms import ReaderTerms
from kvproxy.stack.open_documents import PublishedDocuments
from kvproxy.stack.open_market import OpenMarket


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
        terms=ReaderTerms(market.terms, market.grants),
        model=model,
        default_max_tokens=default_max_tokens,
    )
    return OpenCatalog(catalog, desk)

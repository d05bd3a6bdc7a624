"""Opens the offers of the market: the catalog of documents with their prices, and what makes quotes."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.backends.base import LocalBackend
from kvproxy.catalog.catalog_notes import CatalogNotes
from kvproxy.catalog.document_catalog import Catalog
from kvproxy.catalog.offered_documents import LibraryOffers
from kvproxy.catalog.offered_terms import OfferedTerms
from kvproxy.catalog.quote_maker import QuoteMaker
from kvproxy.stack.open_documents import PublishedDocuments
from kvproxy.stack.open_market import OpenMarket


@dataclass(frozen=True, slots=True)
class OpenCatalog:
    """The offers of the market."""

    catalog: Catalog
    quote_maker: QuoteMaker


def make_catalog(
    market: OpenMarket, documents: PublishedDocuments, local: LocalBackend, default_max_tokens: int | None
) -> OpenCatalog:
    """Make the catalog and the maker of quotes. Nothing has to be closed, and nothing is read yet.

    Example:
        ``make_catalog(market, documents, engine.local, None)``
    """
    model, terms = market.host.model, OfferedTerms(market.grants, market.terms)
    catalog = Catalog(
        offers=LibraryOffers(documents.library),
        notes=CatalogNotes(market.database),
        tariffs=market.tariffs,
        terms=terms,
        model=model,
    )
    maker = QuoteMaker(
        composer=documents.composer,
        local=local,
        catalog=catalog,
        quotes=market.quotes,
        tariffs=market.tariffs,
        terms=terms,
        model=model,
        default_max_tokens=default_max_tokens,
    )
    return OpenCatalog(catalog, maker)

"""Opens the offers of the market: the catalog of documents with their prices, and what makes quotes."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.catalog.catalog_notes import CatalogNotes
from kvproxy.catalog.document_catalog import Catalog
from kvproxy.catalog.offered_documents import LibraryOffers
from kvproxy.catalog.offered_terms import OfferedTerms
from kvproxy.catalog.quote_maker import QuoteMaker
from kvproxy.served_model import ServedModels
from kvproxy.stack.open_market import OpenMarket


@dataclass(frozen=True, slots=True)
class OpenCatalog:
    """The offers of the market."""

    catalog: Catalog
    quote_maker: QuoteMaker


def make_catalog(market: OpenMarket, models: ServedModels, default_max_tokens: int | None) -> OpenCatalog:
    """Make the catalog and the maker of quotes. Nothing has to be closed, and nothing is read yet.

    Example:
        ``make_catalog(market, pipeline.models, None)``
    """
    terms = OfferedTerms(market.grants, market.terms)
    catalog = Catalog(
        offers=LibraryOffers(models.primary.library),
        notes=CatalogNotes(market.database),
        tariffs=market.tariffs,
        terms=terms,
        model=models.primary.name,
        others={model.name: model.library for model in models if model is not models.primary},
    )
    maker = QuoteMaker(
        models=models,
        catalog=catalog,
        quotes=market.quotes,
        tariffs=market.tariffs,
        terms=terms,
        default_max_tokens=default_max_tokens,
    )
    return OpenCatalog(catalog, maker)

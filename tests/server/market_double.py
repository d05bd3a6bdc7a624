"""A proxy with a market over SQLite, the fake backend and one token for each character."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kvproxy.accounts.grants import Grants
from kvproxy.catalog.catalog_notes import CatalogNotes
from kvproxy.catalog.document_catalog import Catalog
from kvproxy.catalog.host_description import HostedModel, MarketHost
from kvproxy.catalog.offered_documents import OfferedDocument
from kvproxy.catalog.offered_terms import OfferedTerms
from kvproxy.catalog.quote_maker import QuoteMaker
from kvproxy.catalog.signed_quotes import Quotes
from kvproxy.core import Caller, DocumentRef
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.issued_receipts import Receipts
from kvproxy.server.market import Market
from kvproxy.tariffs import ModelPrices, Tariff
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.terms_book import TermsBook
from tests.server.doubles import Proxy, make_proxy

HOST = "kv.example"
MODEL = HostedModel("fake", "fingerprint-1", 4096)
PRICES = ModelPrices(input=5 * 10**9, cached_input=5 * 10**8, output=15 * 10**9)
KEYS = (("acme", "acme-key-0123456789"), ("alice", "alice-key-0123456789"))


def as_tenant(name: str) -> dict[str, str]:
    """Return the headers of a tenant of ``KEYS``."""
    return {"Authorization": f"Bearer {dict(KEYS)[name]}"}


class ListedOffers:
    """Offers in a list: public ones to all, granted ones to the readers in ``granted``."""

    def __init__(self) -> None:
        self.documents: list[OfferedDocument] = []
        self.granted: dict[DocumentRef, dict[str, str]] = {}
        """By document: readers, with their grants."""

    async def to(self, caller: Caller) -> list[OfferedDocument]:
        """Return what ``caller`` may be offered."""
        found = []
        for one in self.documents:
            grant = self.granted.get(one.ref, {}).get(caller.name)
            if one.visibility == "public" or one.publisher == caller.name or grant is not None:
                found.append(replace(one, grant=grant))
        return found


def offered(id: str, version: int = 1, publisher: str = "acme", **fields: Any) -> OfferedDocument:
    """Return a document on offer, of 1,000 tokens."""
    digest = f"{id}@{version}".encode().hex().ljust(64, "0")[:64]
    one = OfferedDocument(
        DocumentRef(id, version),
        True,
        digest,
        frozenset({digest}),
        publisher,
        "public",
        1000,
        1000,
        1_700_000_000,
        False,
    )
    return replace(one, **fields)


@dataclass
class MarketProxy:
    """Every part, for tests to look into."""

    proxy: Proxy
    market: Market
    database: Database
    keys: HostKeys
    offers: ListedOffers
    tariffs: Tariffs
    terms: TermsBook
    grants: Grants
    notes: CatalogNotes


@contextmanager
def market_proxy(folder: Path, *, priced: bool = True, **options: Any) -> Iterator[MarketProxy]:
    """Make a proxy with keys and a market; ``priced``: with a tariff for its model."""
    with Database.open(None, folder) as database:
        METADATA.create_all(database.engine)
        proxy = make_proxy(api_keys=KEYS, **options)
        keys, offers, notes = HostKeys.open(folder), ListedOffers(), CatalogNotes(database)
        tariffs = Tariffs(database)
        if priced:
            tariffs.record(Tariff.of("USD", 0, {"fake": PRICES}), now_ms=0)
        terms, grants = TermsBook(database, tariffs), Grants(database)
        priced_by = OfferedTerms(grants, terms)
        quotes = Quotes(database, keys, host=HOST)
        catalog = Catalog(offers=offers, notes=notes, tariffs=tariffs, terms=priced_by, model="fake")
        market = Market(
            tariffs=tariffs,
            host_keys=keys,
            receipts=Receipts(database, keys, host=HOST, currency="USD"),
            quotes=quotes,
            catalog=catalog,
            quote_maker=QuoteMaker(
                models=proxy.components.pipeline.models,
                catalog=catalog,
                quotes=quotes,
                tariffs=tariffs,
                terms=priced_by,
                default_max_tokens=64,
            ),
            host=MarketHost(
                HOST, (HostedModel("fake", "fingerprint-1", 4096),), "https://kv.example", "post@kv.example"
            ),
        )
        proxy.components = replace(proxy.components, market=market)
        yield MarketProxy(proxy, market, database, keys, offers, tariffs, terms, grants, notes)

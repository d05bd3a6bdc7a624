"""A market for tests of charging: a real ledger, tariffs, terms and quotes on one database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from kvproxy.catalog.signed_quotes import Quotes
from kvproxy.charging.charge_requests import Offer, Order, OrderedPrompt
from kvproxy.core import Caller, DocumentRef, Span
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.ledger.ledger import Ledger
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.issued_receipts import Receipts
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.terms_book import TermsBook
from tests.charging.prices import TARIFF

ALICE = Caller("alice", "tenant:alice", key="key_1")
BOOK = DocumentRef("book", 3)
NO_OFFER = Offer()
SPAN = Span(BOOK, 4, 300, etag="e" * 64, publisher="acme", by_reference=True)


@dataclass(frozen=True)
class MarketSetup:
    database: Database
    ledger: Ledger
    tariffs: Tariffs
    terms: TermsBook
    quotes: Quotes
    receipts: Receipts

    async def credit(self, nano: int, id: str = "c1") -> None:
        await self.ledger.credit("alice", nano, "admin", id=id)

    async def balance(self) -> tuple[int, int]:
        found = await self.ledger.balance("alice")
        return found.nano, found.held


@asynccontextmanager
async def market_setup(
    database: Database, folder: Path, *, priced: bool = True
) -> AsyncIterator[MarketSetup]:
    """Open the parts; ``priced`` false: no tariff was ever recorded."""
    await asyncio.to_thread(METADATA.create_all, database.engine)
    tariffs = Tariffs(database)
    await asyncio.to_thread(tariffs.refresh)
    if priced:
        await asyncio.to_thread(tariffs.record, TARIFF, 0)
    terms = TermsBook(database, tariffs)
    await asyncio.to_thread(terms.refresh)
    keys = await asyncio.to_thread(HostKeys.open, folder)
    async with Ledger.open(database, folder) as ledger:
        yield MarketSetup(
            database,
            ledger,
            tariffs,
            terms,
            Quotes(database, keys, host="kv.example"),
            Receipts(database, keys, host="kv.example", currency="USD"),
        )


def order(
    id: str = "chatcmpl-1",
    *,
    tokens: int = 320,
    most_new: int = 10,
    offer: Offer = NO_OFFER,
    model: str = "fake",
) -> Order:
    return Order(id, ALICE, model, (OrderedPrompt(tokens, most_new, (SPAN,)),), offer)

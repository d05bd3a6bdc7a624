"""A proxy with every part of the market that is real: documents, grants, prices, ledger, receipts, explained misses;
only the engine is a fake. Its tenants are told apart by words that nobody else may be shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kvproxy.accounts.account_values import KeyOrder, NewKey
from kvproxy.accounts.open_accounts import OpenAccounts, open_accounts, static_tenants
from kvproxy.backends.fake.fake_backend import FakeMisses
from kvproxy.catalog.catalog_notes import CatalogNotes
from kvproxy.catalog.document_catalog import Catalog
from kvproxy.catalog.offered_documents import LibraryOffers
from kvproxy.catalog.offered_terms import OfferedTerms
from kvproxy.charging.market_charging import MarketCharging, MarketDesks
from kvproxy.core import ALL_PERMISSIONS, Permission
from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.documents.library.document import Framing
from kvproxy.exactness.verify import Verifier
from kvproxy.explain.explaining_thread import ExplainingThread
from kvproxy.explain.miss_explainer import MissExplainer
from kvproxy.explain.miss_report import MissReporter
from kvproxy.explain.previous_requests import PreviousRequests
from kvproxy.granting.market_rights import MarketRights
from kvproxy.ledger.ledger import Ledger
from kvproxy.pipeline import Pipeline
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.issued_receipts import Receipts
from kvproxy.served_model import ServedModel
from kvproxy.server.auth import Keyring
from kvproxy.server.market import Market
from kvproxy.tariffs import ModelPrices, Tariff
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.terms_book import TermsBook
from kvproxy.telemetry.usage.usage_book import UsageBook
from kvproxy.telemetry.usage.usage_records import UsageRecords
from tests.server.dashboard.browsing import Browser, browsing
from tests.server.dashboard.opened_market import FLEET, STATE
from tests.server.doubles import Proxy, make_proxy
from tests.test_publish import Shop

BOSS = ("boss", "boss-key-0123456789")
HOST = "kv.example"
PRICES = ModelPrices(input=5_123_000_000, cached_input=517_000_000, output=15_000_000_000)
"""Nano-units for a million tokens; odd ones, so that each amount is another one."""


@dataclass(frozen=True)
class PricedMarket:
    """The proxy and its parts, for tests to look into."""

    proxy: Proxy
    shop: Shop
    market: Market
    ledger: Ledger
    usage: UsageBook
    boss: str = BOSS[1]

    async def key(self, tenant: str, *scopes: Permission, label: str | None = None) -> NewKey:
        """Make an API key of a tenant."""
        assert self.market.accounts is not None
        order = KeyOrder(tenant, frozenset(scopes), label=label)
        return await asyncio.to_thread(self.market.accounts.create_key, order)

    async def tenant(self, name: str, nano: int) -> None:
        """Make a tenant with a balance."""
        assert self.market.accounts is not None
        await asyncio.to_thread(self.market.accounts.create_tenant, name)
        await self.ledger.credit(name, nano, "admin", "paid", id=f"credit-{name}")

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        """A browser of this proxy."""
        async with browsing(self.proxy) as browser:
            yield browser


@asynccontextmanager
async def priced_market(model: Path, folder: Path, **components_of: Any) -> AsyncIterator[PricedMarket]:
    """Open the proxy. ``model``: a folder with a tokenizer; ``components_of``: components in place of these."""
    database = await asyncio.to_thread(_migrated, folder)
    try:
        async with (
            open_accounts(database, folder, static_tenants([BOSS]), refresh_s=0.02) as opened,
            Ledger.open(database, folder, currency="USD") as ledger,
        ):
            market, shop = await _open(model, folder, database, opened, ledger)
            usage = UsageBook(UsageRecords(database), lambda model, tokens: tokens * 7)
            with _explaining(shop) as thread:
                proxy = _proxy(shop, market, thread, usage=usage, **components_of)
                yield PricedMarket(proxy, shop, market, ledger, usage)
                await usage.write()
            await market.charging.close()
            await asyncio.to_thread(shop.close)
    finally:
        await asyncio.to_thread(database.close)


async def _open(
    model: Path, folder: Path, database: Database, opened: OpenAccounts, ledger: Ledger
) -> tuple[Market, Shop]:
    keys = await asyncio.to_thread(HostKeys.open, folder)
    tariffs = Tariffs(database)
    await asyncio.to_thread(tariffs.record, Tariff.of("USD", 0, {"fake": PRICES}), now_ms=0)
    terms = TermsBook(database, tariffs)
    await asyncio.to_thread(terms.refresh)
    receipts = Receipts(database, keys, host=HOST, currency="USD", booked=ledger.booked)
    desks = MarketDesks(grants=opened.grants, budgets=opened.accounts, receipt_of=receipts.of)
    charging = MarketCharging(ledger, tariffs, terms, desks, fingerprints={"fake": "fake"})
    rights = MarketRights(opened.accounts, opened.grants, terms)
    shop = await asyncio.to_thread(lambda: Shop(model, folder, set(), (Framing("system"),), rights=rights))
    market = Market(
        accounts=opened.accounts,
        grants=opened.grants,
        tariffs=tariffs,
        terms=terms,
        ledger=ledger,
        host_keys=keys,
        receipts=receipts,
        charging=charging,
        catalog=Catalog(
            offers=LibraryOffers(shop.library),
            notes=CatalogNotes(database),
            tariffs=tariffs,
            terms=OfferedTerms(opened.grants, terms),
            model="fake",
        ),
    )
    return market, shop


def _migrated(folder: Path) -> Database:
    database = Database.open(None, folder)
    migrate(database)
    return database


def _explaining(shop: Shop) -> ExplainingThread:
    previous = PreviousRequests(ttl_s=3600, max_requests=32, max_memory=2**22)
    return ExplainingThread(MissExplainer(shop.library, shop.composer.decode, previous))


def _proxy(shop: Shop, market: Market, thread: ExplainingThread, **components_of: Any) -> Proxy:
    proxy = make_proxy()
    composer, misses = shop.composer, FakeMisses(shop.backend, upstreams=("gpt-far",))
    pipeline = Pipeline(
        models=[ServedModel.of(shop.backend, composer)],
        misses=misses,
        default_max_tokens=64,
        charging=market.charging,
        explaining=thread,
    )
    parts: dict[str, Any] = {
        "publisher": shop.publisher,
        "pipeline": pipeline,
        "verifier": Verifier(composer, shop.library, shop.backend, "fake", shop.publisher.quarantine),
        "ready": shop.backend.ready,
        "keyring": Keyring([BOSS], permissions={"boss": ALL_PERMISSIONS}, accounts=market.accounts),
        "market": market,
        "reporters": {"fake": MissReporter(thread.explainer, shop.library, composer.encode, composer.decode)},
        "store_state": lambda: STATE,
        "fleets": lambda: (FLEET,),
    }
    components = replace(proxy.components, **{**parts, **components_of})
    return replace(proxy, backend=shop.backend, misses=misses, components=components)

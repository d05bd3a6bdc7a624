"""Opens the market: accounts, prices, the ledger, the host's keys, payments, and the charging of requests."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grants import Grants
from kvproxy.accounts.key_hash import open_secret
from kvproxy.accounts.open_accounts import OpenAccounts, open_accounts, static_tenants
from kvproxy.catalog.host_description import HostedModel, MarketHost
from kvproxy.catalog.signed_quotes import Quotes
from kvproxy.charging.hosting_charges import HostingCharges
from kvproxy.charging.market_charging import MarketCharging, MarketDesks
from kvproxy.charging.paid_requests import PaidRequests
from kvproxy.config import Config
from kvproxy.database.database import Database
from kvproxy.granting.market_rights import MarketRights
from kvproxy.ledger.bookings import Booking
from kvproxy.ledger.ledger import Ledger
from kvproxy.payments.open_payments import open_payments
from kvproxy.payments.payment_registry import Payments
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.issued_receipts import Receipts
from kvproxy.stack.open_prices import OpenPrices, open_prices
from kvproxy.stack.plan_payments import payment_plan
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.terms_book import TermsBook


@dataclass(frozen=True, slots=True)
class OpenMarket:
    """The market before any document is known."""

    host: MarketHost
    currency: str
    database: Database
    accounts: Accounts
    grants: Grants
    tariffs: Tariffs
    terms: TermsBook
    rights: MarketRights
    ledger: Ledger
    host_keys: HostKeys
    receipts: Receipts
    quotes: Quotes
    payments: Payments
    charging: MarketCharging
    hosting: HostingCharges


@asynccontextmanager
async def open_market(config: Config, host: MarketHost, database: Database) -> AsyncIterator[OpenMarket]:
    """Open everything of the market that lives in a migrated database.

    Example:
        ``async with open_market(config, host_of(config, models), database) as market: ...``
    """
    async with AsyncExitStack() as life:
        opened = await life.enter_async_context(_open_accounts(config, database))
        prices = await life.enter_async_context(open_prices(config, database))
        ledger = await life.enter_async_context(_open_ledger(config, database, opened.grants))
        paid = PaidRequests(ledger, database)
        payments = await life.enter_async_context(_open_payments(config, database, paid))
        parts = _Signed.of(config, host, database, prices, ledger)
        desks = MarketDesks(
            grants=opened.grants,
            budgets=opened.accounts,
            quotes=parts.quotes,
            payments=payments,
            receipt_of=parts.receipts.of,
            paid=paid.note,
        )
        charging = MarketCharging(ledger, prices.tariffs, prices.terms, desks, fingerprints=host.fingerprints)
        life.push_async_callback(charging.close)
        yield OpenMarket(
            host=host,
            currency=config.billing.currency,
            database=database,
            accounts=opened.accounts,
            grants=opened.grants,
            tariffs=prices.tariffs,
            terms=prices.terms,
            rights=MarketRights(opened.accounts, opened.grants, prices.terms),
            ledger=ledger,
            host_keys=prices.host_keys,
            receipts=parts.receipts,
            quotes=parts.quotes,
            payments=payments,
            charging=charging,
            hosting=_hosting(host, ledger, prices, opened.accounts),
        )


def host_of(config: Config, models: Iterable[HostedModel]) -> MarketHost:
    """Return the host as it describes itself, with its models, the primary first."""
    name = config.host.name or platform.node().replace(" ", "-") or "localhost"
    return MarketHost(name, tuple(models), config.host.url, config.host.contact)


@dataclass(frozen=True, slots=True)
class _Signed:
    """The makers of what the host signs."""

    receipts: Receipts
    quotes: Quotes

    @classmethod
    def of(
        cls, config: Config, host: MarketHost, database: Database, prices: OpenPrices, ledger: Ledger
    ) -> _Signed:
        keys, currency = prices.host_keys, config.billing.currency
        return cls(
            Receipts(database, keys, host=host.name, currency=currency, booked=ledger.booked),
            Quotes(database, keys, host=host.name),
        )


def _open_accounts(config: Config, database: Database) -> AbstractAsyncContextManager[OpenAccounts]:
    keys = static_tenants((key.name, key.key) for key in config.server.api_keys)
    credit = config.billing.credit_nano
    return open_accounts(database, config.store.path, keys, default_credit_nano=credit)


def _open_ledger(config: Config, database: Database, grants: Grants) -> AbstractAsyncContextManager[Ledger]:
    return Ledger.open(
        database,
        config.store.path,
        currency=config.billing.currency,
        default_credit=config.billing.credit_nano,
        on_booked=_UsesOfGrants(grants),
        free_while_away=config.database.free_reads_while_down,
    )


@asynccontextmanager
async def _open_payments(config: Config, database: Database, paid: PaidRequests) -> AsyncIterator[Payments]:
    folder = config.store.path
    plan, secret = payment_plan(config, config.billing.currency), await asyncio.to_thread(open_secret, folder)
    async with open_payments(
        plan, database, paid, secret=secret, folder=folder, booked=paid.booked
    ) as payments:
        yield payments


def _hosting(host: MarketHost, ledger: Ledger, prices: OpenPrices, accounts: Accounts) -> HostingCharges:
    model, fingerprint = host.model, host.fingerprint
    return HostingCharges(ledger, prices.tariffs, model=model, fingerprint=fingerprint, budgets=accounts)


class _UsesOfGrants:
    """Counts the uses of grants within the transaction that books them."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    def __call__(self, db: Connection, bookings: Sequence[Booking]) -> None:
        for booking in bookings:
            for part in booking.charge.documents:
                if part.read.grant is not None:
                    self._grants.note_use(db, part.read.grant, part.read.tokens, part.price)

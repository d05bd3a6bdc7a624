"""Opens the market: accounts, prices, the ledger, the host's keys, payments, and the charging of requests."""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Connection

from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grants import Grants
from kvproxy.accounts.key_hash import open_secret
from kvproxy.accounts.open_accounts import open_accounts, static_tenants
from kvproxy.catalog.host_description import MarketHost
from kvproxy.catalog.signed_quotes import Quotes
from kvproxy.charging.hosting_charges import HostingCharges
from kvproxy.charging.market_charging import MarketCharging, MarketDesks
from kvproxy.charging.paid_requests import PaidRequests
from kvproxy.config import Config
from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.granting.market_rights import MarketRights
from kvproxy.ledger.bookings import Booking
from kvproxy.ledger.ledger import Ledger
from kvproxy.payments.open_payments import open_payments
from kvproxy.payments.payment_registry import Payments
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.issued_receipts import Receipts
from kvproxy.stack.plan_payments import payment_plan
from kvproxy.stack.tariff_context import file_context
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.tariff_file import read_tariff_file
from kvproxy.tariffs.terms_book import TermsBook

logger = logging.getLogger(__name__)

REFRESH_S = 2.0
"""Seconds between two looks for tariffs, terms and keys that other processes have added."""


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
async def open_market(config: Config, host: MarketHost) -> AsyncIterator[OpenMarket]:
    """Migrate and open the database, and everything that lives in it.

    Example:
        ``async with open_market(config, host_of(config, fingerprint, max_context)) as market: ...``
    """
    folder, currency = config.store.path, config.billing.currency
    async with AsyncExitStack() as life:
        database = life.enter_context(await asyncio.to_thread(_open_database, config))
        keys = static_tenants((key.name, key.key) for key in config.server.api_keys)
        opened = await life.enter_async_context(
            open_accounts(database, folder, keys, default_credit_nano=config.billing.credit_nano)
        )
        tariffs, terms = await asyncio.to_thread(_read_prices, config, database)
        host_keys = await asyncio.to_thread(HostKeys.open, folder)
        await life.enter_async_context(_following(tariffs, terms, host_keys))
        ledger = await life.enter_async_context(
            Ledger.open(
                database,
                folder,
                currency=currency,
                default_credit=config.billing.credit_nano,
                on_booked=_UsesOfGrants(opened.grants),
            )
        )
        receipts = Receipts(database, host_keys, host=host.name, currency=currency, booked=ledger.booked)
        quotes = Quotes(database, host_keys, host=host.name)
        paid = PaidRequests(ledger, database)
        payments = await life.enter_async_context(
            open_payments(
                payment_plan(config, currency),
                database,
                paid,
                secret=await asyncio.to_thread(open_secret, folder),
                folder=folder,
                booked=paid.booked,
            )
        )
        desks = MarketDesks(
            grants=opened.grants,
            budgets=opened.accounts,
            quotes=quotes,
            payments=payments,
            receipt_of=receipts.of,
            paid=paid.note,
        )
        charging = MarketCharging(ledger, tariffs, terms, desks, fingerprint=host.fingerprint)
        life.push_async_callback(charging.close)
        rights = MarketRights(opened.accounts, opened.grants, terms)
        yield OpenMarket(
            host=host,
            currency=currency,
            database=database,
            accounts=opened.accounts,
            grants=opened.grants,
            tariffs=tariffs,
            terms=terms,
            rights=rights,
            ledger=ledger,
            host_keys=host_keys,
            receipts=receipts,
            quotes=quotes,
            payments=payments,
            charging=charging,
            hosting=HostingCharges(
                ledger, tariffs, model=host.model, fingerprint=host.fingerprint, budgets=opened.accounts
            ),
        )


def host_of(config: Config, fingerprint: str, max_context: int) -> MarketHost:
    """Return the host as it describes itself.

    Example:
        ``host_of(config, model.weights.fingerprint, 32768)``
    """
    name = config.host.name or platform.node().replace(" ", "-") or "localhost"
    model = config.model.served_name
    return MarketHost(name, model, fingerprint, max_context, config.host.url, config.host.contact)


def _open_database(config: Config) -> Database:
    database = Database.open(config.database.url, config.store.path)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return database


def _read_prices(config: Config, database: Database) -> tuple[Tariffs, TermsBook]:
    tariffs = Tariffs(database, in_force=config.tariff is not None)
    tariffs.refresh()
    if config.tariff is not None:
        tariffs.record_file(read_tariff_file(config.tariff, file_context(config)))
    terms = TermsBook(database, tariffs)
    terms.refresh()
    return tariffs, terms


@asynccontextmanager
async def _following(tariffs: Tariffs, terms: TermsBook, keys: HostKeys) -> AsyncIterator[None]:
    """Read the prices and the host's keys that other processes add, until the end of the block."""
    ended = asyncio.Event()
    task = asyncio.create_task(_follow(tariffs, terms, keys, ended))
    try:
        yield
    finally:
        # Never cancelled: its thread would go on reading while the database is closed.
        ended.set()
        await task


async def _follow(tariffs: Tariffs, terms: TermsBook, keys: HostKeys, ended: asyncio.Event) -> None:
    failing = False
    while not ended.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(REFRESH_S):
                await ended.wait()
                return
        try:
            await asyncio.to_thread(_refresh, tariffs, terms, keys)
            failing = False
        except Exception:  # whatever a driver raises: prices stay as they were until the database is back
            if not failing:
                logger.exception(
                    "tariffs, terms and host keys cannot be read; they stay as they were until they can"
                )
            failing = True


def _refresh(tariffs: Tariffs, terms: TermsBook, keys: HostKeys) -> None:
    tariffs.refresh()
    terms.refresh()
    keys.refresh()


class _UsesOfGrants:
    """Counts the uses of grants within the transaction that books them."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    def __call__(self, db: Connection, bookings: Sequence[Booking]) -> None:
        for booking in bookings:
            for part in booking.charge.documents:
                if part.read.grant is not None:
                    self._grants.note_use(db, part.read.grant, part.read.tokens, part.price)

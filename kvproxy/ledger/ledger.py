"""`Ledger`: the ledger of a running proxy. Holds and settles from memory; everything SQL on threads of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from kvproxy.database.database import Database
from kvproxy.ledger.batch_booking import OnBooked
from kvproxy.ledger.bookings import Balance, CreditKind, HoldRequest, LedgerRow, publisher_account
from kvproxy.ledger.database_faults import RETRY_S, LedgerAway, away
from kvproxy.ledger.hold import Hold
from kvproxy.ledger.insufficient_balance import LeasesAskedBack
from kvproxy.ledger.lease_sql import read_funds, tenant_credit
from kvproxy.ledger.ledger_clerk import LedgerClerk, LedgerPlan
from kvproxy.ledger.ledger_reading import Aggregate, AggregateQuery, RowQuery, read_rows, read_sums
from kvproxy.ledger.ledger_writer import LedgerWriter
from kvproxy.ledger.transfers import NewCredit, book_credit, book_refund, find_row, read_balance

JOURNAL_FOLDER = "ledger"
"""The folder of the journals in the store's folder."""

_ASKS = 20
_ASK_S = 0.5
"""Seconds between tries of a hold whose money other processes were asked for; they look every few seconds."""

T = TypeVar("T")


def unix_ms() -> int:
    """Return the time in Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Ledger:
    """The ledger as requests and routes use it. Open it with :meth:`open`."""

    def __init__(self, database: Database, clerk: LedgerClerk, plan: LedgerPlan) -> None:
        """Start the writer. ``clerk`` is open.

        Example:
            ``Ledger(database, clerk, plan)``
        """
        self.currency = plan.currency
        self._database = database
        self._clerk = clerk
        self._plan = plan
        self._writer = LedgerWriter(clerk)
        self._readers = ThreadPoolExecutor(2, "kvproxy-ledger-read")

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        database: Database,
        folder: Path,
        *,
        currency: str = "USD",
        default_credit: int | None = 0,
        on_booked: OnBooked | None = None,
        free_while_away: bool = True,
        clock_ms: Callable[[], int] = unix_ms,
    ) -> AsyncIterator[Ledger]:
        """Join the ledger of ``database``; what earlier processes of ``folder`` settled is booked first.

        ``default_credit`` is that of tenants that the database does not list. ``on_booked`` is called within the
        transaction with what it books. ``free_while_away``: requests that cost nothing go on without a database, and
        are booked when it is back. Raises Unavailable.

        Example:
            ``async with Ledger.open(database, store_folder, currency="EUR") as ledger: ...``
        """
        plan = LedgerPlan(currency, tenant_credit(default_credit), clock_ms, on_booked, free_while_away)
        clerk = LedgerClerk(database, folder / JOURNAL_FOLDER, plan)
        await asyncio.to_thread(clerk.open)
        ledger = cls(database, clerk, plan)
        try:
            yield ledger
        finally:
            await asyncio.to_thread(ledger.close)

    def close(self) -> None:
        """Book what is settled and end the threads. Blocking; idempotent."""
        self._writer.close()
        self._readers.shutdown()

    @property
    def away(self) -> bool:
        """True while the database cannot be written to, as far as this process has tried: see ``LedgerWriter.away``."""
        return self._writer.away

    @property
    def backlog(self) -> int:
        """The number of settled requests that lie in this process's journal and are not booked yet."""
        return len(self._clerk.unbooked)

    async def hold(self, request: HoldRequest) -> Hold:
        """Set aside the most that a request may cost, before its work begins.

        Raises PaymentRequired, QuotaExceeded, and Unavailable where that takes a database that is away.
        """
        if self.away and not self._plan.free_while_away:
            raise LedgerAway(
                "The database is away, and this proxy serves nothing without it (database.free_reads_while_down). Try "
                "again later.",
                retry_after_s=RETRY_S,
            )
        taken = self._clerk.take(request)
        if isinstance(taken, Hold):
            return taken
        for asked in range(_ASKS + 1):
            try:
                return await self._provided(request, final=asked == _ASKS)
            except LeasesAskedBack:
                await asyncio.sleep(_ASK_S)
        raise AssertionError("the last try is final")

    async def _provided(self, request: HoldRequest, *, final: bool) -> Hold:
        future = self._writer.submit(lambda: self._clerk.provide(request, final=final))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.add_done_callback(_release_unclaimed)
            raise

    async def booked(self) -> None:
        """Wait until everything that was settled before is booked. Raises Unavailable."""
        # Not only where something is listed as unbooked: a batch that is being written is taken off the list before it
        # is in the database. The writer is one thread, so that this waits behind it.
        await asyncio.wrap_future(self._writer.submit(self._clerk.book_unbooked))

    async def credit(self, tenant: str, nano: int, kind: CreditKind, reference: str = "", *, id: str) -> int:
        """Add to a tenant's balance, once for each ``id``; return the balance.

        Raises InvalidRequest, AlreadyUsed for an id with another amount or tenant, and Unavailable.

        Example:
            ``await ledger.credit("alice", 5 * NANO, "admin", "invoice 17", id="invoice-17")``
        """
        credit = NewCredit(tenant, nano, kind, id, reference, self.currency)
        return await self._write(lambda: book_credit(self._database, credit, self._plan.clock_ms()))

    async def refund(self, row_id: str, reason: str) -> LedgerRow:
        """Reverse a row by a new one, which is returned; a second time, the same one.

        Raises NotFound, InvalidRequest for a refund or a top-up that is spent, and Unavailable.
        """
        await self.booked()
        plan = self._plan
        return await self._write(
            lambda: book_refund(
                self._database, row_id, reason, at_ms=plan.clock_ms(), credit_of=plan.credit_of
            )
        )

    async def balance(self, tenant: str) -> Balance:
        """Return a tenant's balance, what of it running requests hold, and its credit. Raises Unavailable."""
        await self.booked()
        return await self._read(lambda db: self._balance(db, tenant))

    def _balance(self, db: Connection, tenant: str) -> Balance:
        funds = read_funds(db, tenant, self._plan.credit_of)
        held = self._clerk.holds.purse(tenant).held
        return Balance(funds.balance, held, funds.credit, read_balance(db, publisher_account(tenant)))

    async def rows(self, query: RowQuery) -> list[LedgerRow]:
        """Return one page of rows, with those of requests that were settled before. Raises Unavailable."""
        await self.booked()
        return await self._read(lambda db: read_rows(db, query))

    async def row(self, id: str) -> LedgerRow | None:
        """Return the row of an id, or None, with those of requests that were settled before. Raises Unavailable."""
        await self.booked()
        return await self._read(lambda db: find_row(db, id))

    async def aggregate(self, query: AggregateQuery) -> list[Aggregate]:
        """Return sums by reader, publisher, document, model or day. Raises Unavailable."""
        await self.booked()
        return await self._read(lambda db: read_sums(db, query))

    async def _write(self, work: Callable[[], T]) -> T:
        def job() -> T:
            with away():
                return work()

        # Shielded: a client that leaves must not make it unknown whether the money has moved.
        return await asyncio.shield(asyncio.wrap_future(self._writer.submit(job)))

    async def _read(self, question: Callable[[Connection], T]) -> T:
        def ask() -> T:
            with away(), self._database.snapshot() as db:
                return question(db)

        return await asyncio.get_running_loop().run_in_executor(self._readers, ask)


def _release_unclaimed(future: Future[Hold]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().release()

"""`LedgerClerk`: one process's part in the ledger, without a thread: holds from memory, everything else in SQL."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from kvproxy.database.database import Database
from kvproxy.ledger.batch_booking import OnBooked, book_or_set_aside
from kvproxy.ledger.booking_sql import MOST_BATCH, add_head, lock_head
from kvproxy.ledger.bookings import Booking, HoldRequest
from kvproxy.ledger.database_faults import RETRY_S, LedgerAway, away
from kvproxy.ledger.dead_processes import Undertaker, this_host
from kvproxy.ledger.hold import Hold
from kvproxy.ledger.insufficient_balance import LeasesAskedBack, insufficient_balance
from kvproxy.ledger.journal import Journal, JournalFile, ProcessLock
from kvproxy.ledger.journal_records import write_record
from kvproxy.ledger.lease_sql import (
    CreditOf,
    RegisteredProcess,
    add_lease,
    add_process,
    ask_back,
    asked_for,
    beat_once,
    chunk_beyond,
    forget_minutes,
    own_leases,
    read_funds,
    read_windows,
    remove_process,
    tidy_leases,
)
from kvproxy.ledger.open_holds import Lacking, OpenHolds, SettledRequest, windows_held
from kvproxy.ledger.row_body import entries_of, payer_of

logger = logging.getLogger(__name__)

VALID_S = 60.0
"""Seconds after its last beat for which a process uses its leases."""

DEAD_S = 180.0
"""Seconds of silence after which another machine's process loses its leases: it has stopped using them long before."""

IDLE_S = 30.0
"""Seconds after which what is free of a lease goes back to the balance."""

KEEP_MINUTES_MS = 3_600_000
_TRIES = 20


def _nothing() -> None:
    """Do nothing: without a writer, bookings wait for a call."""


@dataclass(frozen=True, slots=True)
class UnbookedRequest:
    """A settled request, and the journal that has it; None where the journal could not take it."""

    settled: SettledRequest
    file: JournalFile | None


@dataclass(frozen=True, slots=True)
class LedgerPlan:
    """The plain settings of a ledger."""

    currency: str
    credit_of: CreditOf
    clock_ms: Callable[[], int]
    on_booked: OnBooked | None = None
    free_while_away: bool = True
    """False: requests that cost nothing are refused as well while the database is away."""


class LedgerClerk:
    """One process's part in the ledger. :meth:`take`, :meth:`settle_hold` and :meth:`release_hold` touch memory and
    the journal, from any thread; all others run SQL, on one thread at a time."""

    def __init__(self, database: Database, folder: Path, plan: LedgerPlan) -> None:
        """``folder``: where the journals of this and of earlier processes lie; nothing is opened yet.

        Example:
            ``LedgerClerk(database, folder, LedgerPlan("USD", tenant_credit(0), now_ms))``
        """
        self.process = f"{os.getpid()}-{secrets.token_hex(8)}"
        self.unbooked: deque[UnbookedRequest] = deque()
        self.holds = OpenHolds(VALID_S)
        self.on_settled: Callable[[], None] = _nothing
        """Called after each settlement: the writer's call to work."""
        self._database = database
        self._folder = folder
        self._plan = plan
        self._journal = Journal(folder, self.process)
        self._dead = Undertaker(database, folder, self.process, DEAD_S, plan.on_booked)
        self._lock: ProcessLock | None = None

    def open(self) -> None:
        """Join the ledger: register, and book what earlier processes have left. Raises LedgerAway."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with away():
            self._lock = ProcessLock(self._folder, self.process)
            with self._database.transaction() as db:
                add_head(db)
            self.beat()
            self._dead.own_folder()
            self._journal.prepare()

    # Memory and journal: on the event loop.

    def take(self, request: HoldRequest) -> Hold | Lacking:
        """Make a hold from memory, or return the thing that :meth:`provide` has to fetch. Raises QuotaExceeded."""
        now_ms = self._plan.clock_ms()
        reserved = self._journal.reserve()
        if not reserved and request.nano:
            return Lacking.JOURNAL
        lacking = Lacking.BEAT
        try:
            lacking = self.holds.take(request, now_ms)
        finally:
            if reserved and lacking is not Lacking.NOTHING:
                self._journal.unreserve()
        if lacking is not Lacking.NOTHING:
            return lacking
        return Hold(self, request, windows_held(request, now_ms), reserved)

    def settle_hold(self, hold: Hold, booking: Booking) -> None:
        """Journal what the request used, and free the rest: see :meth:`Hold.settle`."""
        self._check(hold.request, booking)
        try:
            file: JournalFile | None = self._journal.append(write_record(booking))
        except OSError:
            logger.exception("ledger: request %s is settled in memory alone", booking.request_id)
            file = None
        settled = self.holds.settle(hold.request, hold.windows, booking)
        if hold.reserved:
            self._journal.unreserve()
        self.unbooked.append(UnbookedRequest(settled, file))
        self.on_settled()

    def _check(self, request: HoldRequest, booking: Booking) -> None:
        if booking.request_id != request.request_id or booking.tenant != request.caller.name:
            raise ValueError(f"a hold of {request.request_id} cannot settle {booking.request_id}")
        if booking.settled_by is None and booking.charge.cost > request.nano:
            raise ValueError(f"{booking.request_id} costs {booking.charge.cost}, and {request.nano} is held")
        if booking.charge.cost < 0 or (
            booking.charge.cost and booking.charge.currency != self._plan.currency
        ):
            raise ValueError(f"{booking.request_id}: no charge of {self._plan.currency}: {booking.charge}")
        entries_of(booking.charge, payer_of(booking))

    def release_hold(self, hold: Hold) -> None:
        """Free everything: see :meth:`Hold.release`."""
        self.holds.give_back(hold.request, hold.windows)
        if hold.reserved:
            self._journal.unreserve()

    # SQL: on the writer's thread.

    def provide(self, request: HoldRequest, *, final: bool = True) -> Hold:
        """Fetch what a hold lacks, and make it.

        Raises PaymentRequired, QuotaExceeded, LedgerAway; with ``final`` false LeasesAskedBack where other processes
        may give back what is lacking.

        Example:
            ``clerk.provide(request)``
        """
        for _ in range(_TRIES):
            taken = self.take(request)
            if isinstance(taken, Hold):
                return taken
            with away():
                self._fetch(taken, request, final)
        raise LedgerAway(
            "Other requests of this tenant were faster; try again.", retry_after_s=1
        )  # each try had its lease taken by holds that came between

    def _fetch(self, lacking: Lacking, request: HoldRequest, final: bool) -> None:
        if lacking is Lacking.JOURNAL:
            if not self._journal.prepare():
                raise LedgerAway(
                    "Too many settled requests wait for the ledger's database. Nothing was charged; try again later.",
                    retry_after_s=RETRY_S,
                )
        elif lacking is Lacking.BUDGET:
            windows = self.holds.unknown(request, self._plan.clock_ms())
            with self._database.snapshot() as db:
                uses = read_windows(db, windows)
            self.holds.known(uses)
        elif lacking is Lacking.BEAT:
            self.beat()
        else:
            self._extend(request, final)

    def _extend(self, request: HoldRequest, final: bool) -> None:
        tenant, began, asked, short = request.caller.name, time.monotonic(), False, False
        with self._database.transaction() as db:
            lock_head(db)
            self._register(db)
            funds = read_funds(db, tenant, self._plan.credit_of)
            leased = own_leases(db, self.process, [tenant])[tenant]
            purse = self.holds.purse(tenant)
            need = request.nano - (leased - purse.held - purse.unbooked)
            if funds.credit is not None and need > 0:
                short = funds.available < need
                if short:
                    asked = ask_back(db, self.process, tenant)
                else:
                    more = need + chunk_beyond(need, funds.available)
                    add_lease(db, self.process, tenant, more)
                    leased += more
        self.holds.beat_at = began
        self.holds.lease(tenant, leased, unlimited=funds.credit is None)
        if short and self.unbooked:
            self.book_unbooked()  # one that was booked before sets its cost free; then the hold is tried again
            return
        if short and asked and not final:
            raise LeasesAskedBack(f"{tenant} has leases elsewhere")
        if short:
            raise insufficient_balance(request, funds, self.holds.purse(tenant), self._plan.currency)

    def book_unbooked(self) -> None:
        """Book everything that is settled, in batches. Raises LedgerAway, with nothing lost."""
        while self.unbooked:
            # It stays in the queue until it is committed: to questions, an empty queue means that all is booked.
            batch = [self.unbooked[place] for place in range(min(MOST_BATCH, len(self.unbooked)))]
            settled = [one.settled for one in batch]
            try:
                with away():
                    booked = book_or_set_aside(
                        self._database,
                        self.process,
                        [one.booking for one in settled],
                        folder=self._folder,
                        on_booked=self._plan.on_booked,
                    )
            except BaseException:
                self._journal.sync()
                raise
            self.holds.booked(settled, booked.first, booked.leases)
            for one in batch:
                if one.file is not None:
                    self._journal.booked(one.file)
                self.unbooked.popleft()

    def beat(self) -> None:
        """Show that this process is alive; give back leases that are idle or asked for; read other processes' use of
        budgets; clear up after processes that have ended. Raises LedgerAway."""
        began, now_ms = time.monotonic(), self._plan.clock_ms()
        with away():
            with self._database.transaction() as db:
                lock_head(db)
                self._register(db)
                for tenant in {*self.holds.idle(IDLE_S), *asked_for(db, self.process)}:
                    add_lease(db, self.process, tenant, -self.holds.shrink(tenant))
                tidy_leases(db, self.process)
                forget_minutes(db, now_ms - KEEP_MINUTES_MS)
                leases = own_leases(db, self.process)
                uses = read_windows(db, self.holds.watched())
            self.holds.sync(leases)
            self.holds.known(uses, now_ms)
            self.holds.beat_at = began
            self.holds.forget_empty(now_ms)
            self._journal.prepare()
            self._dead.registered()

    def _register(self, db: Connection) -> None:
        if not beat_once(db, self.process):
            add_process(db, RegisteredProcess(self.process, this_host(), str(self._folder.resolve()), 1))

    def close(self) -> None:
        """Book everything and leave the ledger; what cannot be booked now stays in the journal. Idempotent."""
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        try:
            self.book_unbooked()
            with away(), self._database.transaction() as db:
                lock_head(db)
                remove_process(db, self.process)
        except LedgerAway as e:
            logger.warning("ledger: %d requests stay in the journal: %s", len(self.unbooked), e.message)
            self._journal.close()
            lock.forsake()
        else:
            self._journal.close()
            lock.release()

"""Statements for leases of balances and for the processes that hold them. Within a caller's transaction.

Invariant, under the head's lock: a tenant's balance less the leases of all processes is not below minus its credit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text, tuple_, update

from kvproxy.database.tables.account_tables import TENANTS
from kvproxy.database.tables.ledger_tables import (
    LEDGER_BALANCES,
    LEDGER_COUNTERS,
    LEDGER_LEASES,
    LEDGER_PROCESSES,
)
from kvproxy.ledger.bookings import reader_account
from kvproxy.ledger.budget_windows import NOTHING, BudgetWindow, Used

CHUNK_TIMES = 15
"""A lease is extended by what is needed and so many times more, so that most requests need no transaction."""

CHUNK_SHARE = 4
"""Or by one part in so many of what the balance has left, where that is more."""

CreditOf = Callable[[Connection, str], int | None]
"""Returns the nano-units by which a tenant's balance may fall below zero; None: without limit."""

_ADD_LEASE = text(
    "INSERT INTO ledger_leases (process, account, nano, wanted) VALUES (:process, :account, :nano, 0)"
    " ON CONFLICT (process, account) DO UPDATE SET nano = ledger_leases.nano + excluded.nano"
)
_TAKE_LEASE = (
    update(LEDGER_LEASES)
    .where(LEDGER_LEASES.c.process == bindparam("p"), LEDGER_LEASES.c.account == bindparam("a"))
    # What was settled without a lease, since the tenant had credit without limit, takes no more than there is.
    .values(nano=text("CASE WHEN nano > :n THEN nano - :n ELSE 0 END"))
)
_BALANCE = select(LEDGER_BALANCES.c.nano).where(LEDGER_BALANCES.c.account == bindparam("account"))
_LEASED = select(func.coalesce(func.sum(LEDGER_LEASES.c.nano), 0)).where(
    LEDGER_LEASES.c.account == bindparam("account")
)


@dataclass(frozen=True, slots=True)
class AccountFunds:
    """A tenant's money in nano-units, as the database says."""

    balance: int
    credit: int | None
    leased: int
    """The leases of all processes together."""

    @property
    def available(self) -> int:
        """Nano-units that may still be leased, where credit has a limit."""
        return self.balance + (self.credit or 0) - self.leased


@dataclass(frozen=True, slots=True)
class RegisteredProcess:
    """A row of LEDGER_PROCESSES."""

    id: str
    host: str
    folder: str
    beat: int


def tenant_credit(default: int | None) -> CreditOf:
    """Return a function that reads a tenant's credit; ``default`` is that of a tenant without a row."""

    def credit_of(db: Connection, tenant: str) -> int | None:
        row = db.execute(select(TENANTS.c.credit_nano).where(TENANTS.c.id == tenant)).one_or_none()
        return default if row is None else row.credit_nano

    return credit_of


def read_funds(db: Connection, tenant: str, credit_of: CreditOf) -> AccountFunds:
    """Return a tenant's balance, credit and leases.

    Example:
        ``read_funds(db, "alice", tenant_credit(0)).available``
    """
    account = {"account": reader_account(tenant)}
    return AccountFunds(
        balance=db.execute(_BALANCE, account).scalar() or 0,
        credit=credit_of(db, tenant),
        leased=int(db.execute(_LEASED, account).scalar_one()),
    )


def chunk_beyond(need: int, available: int) -> int:
    """Return how much more than ``need`` to lease. ``available`` is at least ``need``."""
    left = available - need
    return min(left, max(CHUNK_TIMES * need, left // CHUNK_SHARE))


def add_lease(db: Connection, process: str, tenant: str, nano: int) -> None:
    """Lease so much more to a process, less for a negative amount.

    Example:
        ``add_lease(db, process, "alice", 1_000_000)``
    """
    db.execute(_ADD_LEASE, {"process": process, "account": reader_account(tenant), "nano": nano})


def take_leases(db: Connection, process: str, costs: Sequence[tuple[str, int]]) -> None:
    """Lower leases by what is booked.

    Example:
        ``take_leases(db, process, [("alice", 377_000)])``
    """
    if costs:
        db.execute(_TAKE_LEASE, [{"p": process, "a": reader_account(t), "n": nano} for t, nano in costs])


def own_leases(db: Connection, process: str, tenants: Sequence[str] | None = None) -> dict[str, int]:
    """Return a process's leases of ``tenants``, 0 where there is none; for None all that there are.

    Example:
        ``own_leases(db, process, ["alice"])["alice"]``
    """
    c = LEDGER_LEASES.c
    wanted = select(c.account, c.nano).where(c.process == process)
    if tenants is not None:
        wanted = wanted.where(c.account.in_([reader_account(tenant) for tenant in tenants]))
    found = dict.fromkeys(tenants or (), 0)
    for account, nano in db.execute(wanted):
        found[account.removeprefix(reader_account(""))] = nano
    return found


def ask_back(db: Connection, process: str, tenant: str) -> bool:
    """Ask the other processes for what of their leases is free; False when none has a lease.

    Example:
        ``ask_back(db, process, "alice")``
    """
    asked = db.execute(
        update(LEDGER_LEASES)
        .where(
            LEDGER_LEASES.c.account == reader_account(tenant),
            LEDGER_LEASES.c.process != process,
            LEDGER_LEASES.c.nano > 0,
        )
        .values(wanted=1)
    )
    return asked.rowcount > 0


def asked_for(db: Connection, process: str) -> list[str]:
    """Return the tenants whose leases another process asks for."""
    rows = db.execute(
        select(LEDGER_LEASES.c.account).where(LEDGER_LEASES.c.process == process, LEDGER_LEASES.c.wanted == 1)
    )
    return [account.removeprefix(reader_account("")) for account in rows.scalars()]


def tidy_leases(db: Connection, process: str) -> None:
    """Note that a process has given back what was free, and drop its leases of nothing."""
    db.execute(delete(LEDGER_LEASES).where(LEDGER_LEASES.c.process == process, LEDGER_LEASES.c.nano <= 0))
    db.execute(
        update(LEDGER_LEASES)
        .where(LEDGER_LEASES.c.process == process, LEDGER_LEASES.c.wanted == 1)
        .values(wanted=0)
    )


def add_process(db: Connection, process: RegisteredProcess) -> None:
    """Register a process that may take leases."""
    db.execute(
        insert(LEDGER_PROCESSES).values(
            id=process.id, host=process.host, folder=process.folder, beat=process.beat
        )
    )


def beat_once(db: Connection, process: str) -> bool:
    """Count a beat; False when the process is not registered any more."""
    counted = db.execute(
        update(LEDGER_PROCESSES)
        .where(LEDGER_PROCESSES.c.id == process)
        .values(beat=LEDGER_PROCESSES.c.beat + 1)
    )
    return counted.rowcount == 1


def all_processes(db: Connection) -> list[RegisteredProcess]:
    """Return all registered processes."""
    return [RegisteredProcess(p.id, p.host, p.folder, p.beat) for p in db.execute(select(LEDGER_PROCESSES))]


def remove_process(db: Connection, process: str) -> None:
    """Give back all leases of a process that has ended, and forget it."""
    db.execute(delete(LEDGER_LEASES).where(LEDGER_LEASES.c.process == process))
    db.execute(delete(LEDGER_PROCESSES).where(LEDGER_PROCESSES.c.id == process))


def read_windows(db: Connection, windows: Iterable[BudgetWindow]) -> dict[BudgetWindow, Used]:
    """Return the use of windows, NOTHING where there is no row."""
    c = LEDGER_COUNTERS.c
    found = dict.fromkeys(windows, NOTHING)
    if found:
        wanted = tuple_(c.subject, c.period, c.start_ms).in_([tuple(window) for window in found])
        for row in db.execute(select(LEDGER_COUNTERS).where(wanted)):
            window = BudgetWindow(row.subject, row.period, row.start_ms)
            found[window] = Used(row.tokens, row.nano, row.requests)
    return found


def forget_minutes(db: Connection, before_ms: int) -> None:
    """Drop the counters of minutes that began before ``before_ms``: there would be half a million a year of each."""
    c = LEDGER_COUNTERS.c
    db.execute(delete(LEDGER_COUNTERS).where(c.period == "minute", c.start_ms < before_ms))

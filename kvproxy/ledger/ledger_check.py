"""`check`: the proof that the ledger holds, from its first row to its last, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Table, func, select

from kvproxy.core.charges import Charge
from kvproxy.database.database import Database
from kvproxy.database.tables.ledger_tables import (
    LEDGER_BALANCES,
    LEDGER_ENTRIES,
    LEDGER_HEAD,
    LEDGER_READS,
    LEDGER_ROWS,
)
from kvproxy.ledger.booking_sql import ChainEnd, entry_values, read_values, row_values
from kvproxy.ledger.bookings import LedgerRow
from kvproxy.ledger.row_body import GENESIS, body_of, entries_of, payer_of, read_row, row_hash, taken_back
from kvproxy.ledger.transfers import find_row

PAGE = 500
"""Rows in memory at one time."""

Reprice = Callable[[LedgerRow], Charge | None]
"""Computes a row's charge anew, from the tariff and the terms that were valid then; None: they are not known."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the ledger."""

    seq: int | None
    """The row's place; None for a fault of no single row."""
    id: str | None
    what: str
    """A sentence."""

    def __str__(self) -> str:
        where = "" if self.seq is None else f"row {self.seq}{f' ({self.id})' if self.id else ''}: "
        return where + self.what


def check(database: Database, reprice: Reprice | None = None) -> list[Fault]:
    """Return the faults of the ledger.

    Without any, this is proven: each row follows from the one before by its hash, none is missing, and the last is
    the one that was noted; a row's columns, entries and documents are those of its body; its entries follow from its
    charge; each row's entries, and so all balances, sum to zero, and each balance is the sum of its entries; a refund
    reverses its row exactly; and, with ``reprice``, each charge follows from its tariff and terms.

    Blocking. Reads one snapshot, and stops no writer.

    Example: ``check(database, reprice=lambda row: charge(row.metered, tariffs.by_id(row.tariff), terms))``
    """
    return list(find_faults(database, reprice))


def find_faults(database: Database, reprice: Reprice | None = None) -> Iterator[Fault]:
    """Yield the faults that :func:`check` returns, as they are found."""
    with database.snapshot() as db:
        yield from _chain_faults(db, reprice)
        yield from _balance_faults(db)


def chain_end(database: Database) -> ChainEnd:
    """Return the noted end of the chain; 0 and zeros for a ledger that has not begun."""
    with database.snapshot() as db:
        head = db.execute(select(LEDGER_HEAD.c.seq, LEDGER_HEAD.c.hash)).one_or_none()
    return ChainEnd(0, GENESIS) if head is None else ChainEnd(head.seq, head.hash)


@dataclass(slots=True)
class _Link:
    """The end of what was checked."""

    seq: int
    hashes: frozenset[str]
    """The stored hash of the row, and the one that its content has: the next row may follow from either, so that the
    guilty row alone is named."""


def _chain_faults(db: Connection, reprice: Reprice | None) -> Iterator[Fault]:
    head = db.execute(
        select(LEDGER_HEAD.c.seq, LEDGER_HEAD.c.hash).where(LEDGER_HEAD.c.id == 1)
    ).one_or_none()
    link = _Link(0, frozenset({GENESIS}))
    while page := _page(db, link.seq):
        numbers = [stored.seq for stored in page]
        entries = _beside(db, LEDGER_ENTRIES, numbers)
        reads = _beside(db, LEDGER_READS, numbers)
        for stored in page:
            yield from _link_faults(stored, link)
            link = _Link(stored.seq, frozenset({stored.hash, _hash(stored.previous, stored.body)}))
            yield from _row_faults(db, stored, entries, reads, reprice)
    yield from _orphans(db)
    if head is None:
        if link.seq:
            yield Fault(None, None, "the end of the chain is not noted (ledger_head is empty)")
    elif head.seq > link.seq:
        yield _missing(link.seq + 1, head.seq)
    elif head.seq < link.seq:
        yield Fault(link.seq, None, f"it lies behind the end of the chain, which is row {head.seq}")
    elif head.hash not in link.hashes:
        yield Fault(link.seq, None, "the hash that was noted for the end of the chain is another one")


def _page(db: Connection, after: int) -> Sequence[Any]:
    return db.execute(
        select(LEDGER_ROWS).where(LEDGER_ROWS.c.seq > after).order_by(LEDGER_ROWS.c.seq).limit(PAGE)
    ).all()


def _beside(db: Connection, table: Table, numbers: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    between = table.c.seq.between(numbers[0], numbers[-1])
    rows = db.execute(select(table).where(between).order_by(table.c.seq, table.c.position))
    return {
        seq: [dict(row._mapping) for row in group]
        for seq, group in groupby(rows, key=lambda row: int(row.seq))
    }


def _orphans(db: Connection) -> Iterator[Fault]:
    for table, name in ((LEDGER_ENTRIES, "entries"), (LEDGER_READS, "documents")):
        without = select(table.c.seq).distinct().where(table.c.seq.not_in(select(LEDGER_ROWS.c.seq)))
        for seq in db.execute(without.order_by(table.c.seq).limit(PAGE)).scalars():
            yield Fault(seq, None, f"it has {name}, and is missing")


def _missing(first: int, last: int) -> Fault:
    return Fault(first, None, "it is missing" if first == last else f"it and all to row {last} are missing")


def _hash(previous: str, body: str) -> str:
    try:
        return row_hash(previous, body)
    except ValueError:  # no hex
        return ""


def _link_faults(stored: Any, link: _Link) -> Iterator[Fault]:
    if stored.seq != link.seq + 1:
        yield _missing(link.seq + 1, stored.seq - 1)
    elif stored.previous not in link.hashes:
        yield Fault(
            stored.seq,
            stored.id,
            "it does not follow from the row before: one of the two was exchanged or rewritten",
        )
    if _hash(stored.previous, stored.body) != stored.hash:
        yield Fault(
            stored.seq, stored.id, "its hash is not that of its content: it was changed after it was booked"
        )


def _row_faults(
    db: Connection,
    stored: Any,
    entries: dict[int, list[dict[str, Any]]],
    reads: dict[int, list[dict[str, Any]]],
    reprice: Reprice | None,
) -> Iterator[Fault]:
    try:
        row = read_row(stored.body, stored.previous, stored.hash)
        canonical = body_of(row, row.seq)
    except ValueError as e:
        yield Fault(stored.seq, stored.id, str(e))
        return
    if canonical != stored.body:
        yield Fault(stored.seq, stored.id, "its body is not written canonically")
    expected, found = row_values(row), dict(stored._mapping)
    for name in expected:
        if expected[name] != found[name]:
            yield Fault(
                stored.seq,
                stored.id,
                f"its column {name} is {found[name]!r}, its body says {expected[name]!r}",
            )
    if row.seq == stored.seq:
        if entries.get(row.seq, []) != entry_values(row):
            yield Fault(row.seq, row.id, "its entries are not those of its body")
        if reads.get(row.seq, []) != read_values(row):
            yield Fault(row.seq, row.id, "its documents are not those of its body")
    yield from (Fault(stored.seq, stored.id, what) for what in _content_faults(db, row, reprice))


def _content_faults(db: Connection, row: LedgerRow, reprice: Reprice | None) -> Iterator[str]:
    if sum(entry.nano for entry in row.entries):
        yield "its entries do not sum to zero"
    if row.kind == "topup":
        return
    if row.kind == "refund":
        before = find_row(db, row.refunds or "")
        if before is None or before.seq >= row.seq:
            yield f"it takes back the row '{row.refunds}', which is not before it"
        elif body_of(taken_back(before, at_ms=row.at_ms, reason=row.reference), row.seq) != row.body:
            yield f"it does not take back exactly what row {before.seq} booked"
        return
    try:
        expected = entries_of(row.charge, payer_of(row))
    except ValueError as e:
        yield str(e)
        return
    if expected != row.entries:
        yield "its entries do not follow from its charge"
    if (
        reprice is not None and row.charge.tariff and row.kind != "storage"
    ):  # its bytes and hours are not in the row
        charge = reprice(row)
        if charge is None:
            yield f"its tariff '{row.charge.tariff}', or the terms of one of its documents, is not known"
        elif charge != row.charge:
            yield f"it costs {charge.cost} by its tariff and terms, {row.charge.cost} was booked"


def _balance_faults(db: Connection) -> Iterator[Fault]:
    sums = (
        select(LEDGER_ENTRIES.c.account, func.sum(LEDGER_ENTRIES.c.nano).label("nano"))
        .group_by(LEDGER_ENTRIES.c.account)
        .subquery()
    )
    both = select(
        func.coalesce(LEDGER_BALANCES.c.account, sums.c.account).label("account"),
        func.coalesce(LEDGER_BALANCES.c.nano, 0).label("balance"),
        func.coalesce(sums.c.nano, 0).label("entries"),
    ).select_from(LEDGER_BALANCES.join(sums, LEDGER_BALANCES.c.account == sums.c.account, full=True))
    total = 0
    for row in db.execution_options(yield_per=PAGE).execute(both):
        total += int(row.balance)
        if int(row.balance) != int(row.entries):
            yield Fault(
                None, None, f"the balance of {row.account} is {row.balance}, its entries sum to {row.entries}"
            )
    if total:
        yield Fault(None, None, f"all balances sum to {total}, not to zero")

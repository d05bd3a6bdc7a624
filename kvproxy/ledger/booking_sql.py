"""Statements that append rows to the chain, with their entries, balances and counters. Within a caller's transaction.

Upserts are written as text: SQLite and PostgreSQL have the same words for them, SQLAlchemy a construct for each.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, text, update

from kvproxy.database.tables.ledger_tables import (
    LEDGER_ENTRIES,
    LEDGER_HEAD,
    LEDGER_READS,
    LEDGER_ROWS,
)
from kvproxy.ledger.bookings import Booking, LedgerRow, RowContent
from kvproxy.ledger.budget_windows import NOTHING, BudgetWindow, Used, used_by, windows_of
from kvproxy.ledger.row_body import GENESIS, chained

MOST_BATCH = 500
"""Rows of one transaction."""

ROWS_A_BREATH = 8
BREATH_S = 0.0001
"""The writer sleeps so long after so many rows, since the interpreter would give it 5 ms before the event loop's turn:
rows a second are spent on the loop's worst case."""

_ADD_HEAD = text("INSERT INTO ledger_head (id, seq, hash) VALUES (1, 0, :hash) ON CONFLICT (id) DO NOTHING")
_HEAD = select(LEDGER_HEAD.c.seq, LEDGER_HEAD.c.hash).where(LEDGER_HEAD.c.id == 1).with_for_update()
_MOVE_HEAD = update(LEDGER_HEAD).where(LEDGER_HEAD.c.id == 1)
_KNOWN = select(LEDGER_ROWS.c.id).where(LEDGER_ROWS.c.id.in_(bindparam("ids", expanding=True)))
_ADD_BALANCE = text(
    "INSERT INTO ledger_balances (account, nano) VALUES (:account, :nano)"
    " ON CONFLICT (account) DO UPDATE SET nano = ledger_balances.nano + excluded.nano"
)
_ADD_COUNTER = text(
    "INSERT INTO ledger_counters (subject, period, start_ms, tokens, nano, requests)"
    " VALUES (:subject, :period, :start_ms, :tokens, :nano, :requests)"
    " ON CONFLICT (subject, period, start_ms) DO UPDATE SET tokens = ledger_counters.tokens + excluded.tokens,"
    " nano = ledger_counters.nano + excluded.nano, requests = ledger_counters.requests + excluded.requests"
)


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """The last row's place and hash; 0 and zeros before the first."""

    seq: int
    hash: str


def add_head(db: Connection) -> None:
    """Begin the chain in a new database; nothing where it has begun."""
    db.execute(_ADD_HEAD, {"hash": GENESIS})


def lock_head(db: Connection) -> ChainEnd:
    """Lock the end of the chain until the transaction ends. Every transaction that writes begins with it: what it reads
    of balances and leases stays true until it commits, on PostgreSQL too."""
    row = db.execute(_HEAD).one_or_none()
    if row is None:  # the first one ever: a credit may be booked before a server has started
        add_head(db)
        row = db.execute(_HEAD).one()
    return ChainEnd(row.seq, row.hash)


def known_ids(db: Connection, ids: Sequence[str]) -> set[str]:
    """Return which of ``ids`` are booked. At most MOST_BATCH of them."""
    return set(db.execute(_KNOWN, {"ids": list(ids)}).scalars())


def append_rows(db: Connection, end: ChainEnd, contents: Iterable[RowContent]) -> list[LedgerRow]:
    """Append rows whose ids are new, with all that is kept beside them. ``end``: as :func:`lock_head` returned it.

    Example:
        ``append_rows(db, lock_head(db), [content_of(booking)])``
    """
    rows: list[LedgerRow] = []
    seq, previous = end.seq, end.hash
    for number, content in enumerate(contents, start=1):
        if number % ROWS_A_BREATH == 0:
            time.sleep(BREATH_S)
        row = chained(content, seq + 1, previous)
        seq, previous = row.seq, row.hash
        rows.append(row)
    if rows:
        _insert(db, rows)
        db.execute(_MOVE_HEAD.values(seq=seq, hash=previous))
    return rows


def _insert(db: Connection, rows: Sequence[LedgerRow]) -> None:
    db.execute(insert(LEDGER_ROWS), [row_values(row) for row in rows])
    entries = [entry for row in rows for entry in entry_values(row)]
    if entries:
        db.execute(insert(LEDGER_ENTRIES), entries)
        sums: dict[str, int] = {}
        for row in rows:
            for entry in row.entries:
                sums[entry.account] = sums.get(entry.account, 0) + entry.nano
        # In one order, so that two writers never wait for one another; the head's lock alone would do.
        db.execute(_ADD_BALANCE, [{"account": name, "nano": nano} for name, nano in sorted(sums.items())])
    if reads := [read for row in rows for read in read_values(row)]:
        db.execute(insert(LEDGER_READS), reads)


def row_values(row: LedgerRow) -> dict[str, Any]:
    """Return a row's columns: ``body``, and those that repeat parts of it."""
    return {
        "seq": row.seq,
        "id": row.id,
        "kind": row.kind,
        "at_ms": row.at_ms,
        "reader": row.reader,
        "key": row.key,
        "model": row.model,
        "prompt_tokens": row.metered.prompt_tokens,
        "cached_tokens": row.metered.cached_tokens,
        "completion_tokens": row.metered.completion_tokens,
        "cost": row.charge.cost,
        "cold_cost": row.charge.cold_cost,
        "seconds_saved_us": row.seconds_saved_us,
        "settled_by": row.settled_by,
        "body": row.body,
        "previous": row.previous,
        "hash": row.hash,
    }


def entry_values(row: LedgerRow) -> list[dict[str, Any]]:
    """Return the columns of a row's entries."""
    return [
        {"seq": row.seq, "position": position, "account": entry.account, "nano": entry.nano}
        for position, entry in enumerate(row.entries)
    ]


def read_values(row: LedgerRow) -> list[dict[str, Any]]:
    """Return the columns of a row's documents. What the row saved is theirs by their part of the cached tokens."""
    prices = {d.read: (d.price, d.publisher_share) for d in row.charge.documents}
    values = []
    for position, read in enumerate(row.metered.documents):
        price, share = prices.get(read, (0, 0))
        values.append(
            {
                "seq": row.seq,
                "position": position,
                "document": read.document,
                "publisher": read.publisher,
                "tokens": read.tokens,
                "price": price,
                "share": share,
                "saved_nano": _part(row.charge.saved, read.tokens, row.metered.cached_tokens),
                "saved_us": _part(row.seconds_saved_us, read.tokens, row.metered.cached_tokens),
            }
        )
    return values


def _part(whole: int, tokens: int, of: int) -> int:
    """Return ``whole * tokens / of`` cut towards zero, so that the negative of a row has the negative of its parts."""
    if not of:
        return 0
    part = abs(whole * tokens) // abs(of)
    return part if whole * tokens * of >= 0 else -part


def count_used(db: Connection, bookings: Iterable[Booking]) -> None:
    """Add bookings to the counters of their tenants and keys."""
    sums: dict[BudgetWindow, Used] = {}
    for booking in bookings:
        for window in windows_of(booking):
            sums[window] = sums.get(window, NOTHING) + used_by(booking)
    if sums:
        db.execute(
            _ADD_COUNTER,
            [
                {**w._asdict(), "tokens": used.tokens, "nano": used.nano, "requests": used.requests}
                for w, used in sorted(sums.items())
            ],
        )

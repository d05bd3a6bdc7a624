"""`read_rows` and `read_sums`: questions to the ledger. Blocking; they wait for no writer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Select, func, select

from kvproxy.database.tables.ledger_tables import LEDGER_READS, LEDGER_ROWS
from kvproxy.ledger.bookings import LedgerRow, RowKind
from kvproxy.ledger.row_body import read_row

AggregateBy = Literal["reader", "publisher", "document", "model", "day"]

DAY_MS = 86_400_000
MOST_ROWS = 1000
"""Rows of one page."""


@dataclass(frozen=True, slots=True)
class RowQuery:
    """A choice of rows, returned in their order; None does not restrict."""

    reader: str | None = None
    publisher: str | None = None
    """A publisher of one of the row's documents."""
    key: str | None = None
    kinds: tuple[RowKind, ...] | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    """Exclusive."""
    after: int = 0
    """Rows with a larger ``seq`` alone: the last one of the page before."""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class AggregateQuery:
    """A choice of rows, and the name to sum them by; None does not restrict."""

    by: AggregateBy
    reader: str | None = None
    publisher: str | None = None
    """Reads of this publisher's documents alone, with ``by`` publisher, document or day."""
    since_ms: int | None = None
    until_ms: int | None = None
    """Exclusive."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Sums over the requests of one reader, publisher, document, model or day; refunds are taken off."""

    name: str
    """For a day its date in UTC."""
    requests: int
    prompt_tokens: int
    """By publisher and document: 0, since a prompt has other parts too."""
    cached_tokens: int
    completion_tokens: int
    nano: int
    """Paid by readers; by publisher and document, for their cached tokens."""
    share: int
    """The publisher's part of ``nano``; 0 where the sums are not by publisher or document."""
    saved_nano: int
    saved_us: int
    """Microseconds of prefill that hits saved."""


def read_rows(db: Connection, query: RowQuery) -> list[LedgerRow]:
    """Return one page of rows."""
    c = LEDGER_ROWS.c
    wanted: Select[Any] = select(c.body, c.previous, c.hash).where(c.seq > query.after)
    wanted = _between(wanted, query.since_ms, query.until_ms)
    if query.reader is not None:
        wanted = wanted.where(c.reader == query.reader)
    if query.key is not None:
        wanted = wanted.where(c.key == query.key)
    if query.kinds is not None:
        wanted = wanted.where(c.kind.in_(query.kinds))
    if query.publisher is not None:
        reads = select(LEDGER_READS.c.seq).where(LEDGER_READS.c.publisher == query.publisher)
        wanted = wanted.where(c.seq.in_(reads))
    rows = db.execute(wanted.order_by(c.seq).limit(min(query.limit, MOST_ROWS)))
    return [read_row(row.body, row.previous, row.hash) for row in rows]


def read_sums(db: Connection, query: AggregateQuery) -> list[Aggregate]:
    """Return the sums, the largest amount first; days in their order."""
    of_reads = query.by in ("publisher", "document") or (query.by == "day" and query.publisher is not None)
    sums = _sums_of_reads(query) if of_reads else _sums_of_rows(query)
    found = [_aggregate(row, query.by) for row in db.execute(sums)]
    if query.by == "day":
        return sorted(found, key=lambda one: one.name)
    return sorted(found, key=lambda one: (-one.nano, one.name))


def _sums_of_rows(query: AggregateQuery) -> Select[Any]:
    c = LEDGER_ROWS.c
    name = {"reader": c.reader, "model": c.model}.get(query.by, (c.at_ms - c.at_ms % DAY_MS).label("name"))
    wanted = select(
        name.label("name"),
        *_counts(),
        func.sum(c.prompt_tokens).label("prompt_tokens"),
        func.sum(c.cached_tokens).label("cached_tokens"),
        func.sum(c.completion_tokens).label("completion_tokens"),
        func.sum(c.cost).label("nano"),
        (func.sum(c.cost) * 0).label("share"),
        func.sum(c.cold_cost - c.cost).label("saved_nano"),
        func.sum(c.seconds_saved_us).label("saved_us"),
    ).where(c.kind != "topup", ~c.id.startswith("refund:credit:"))
    if query.reader is not None:
        wanted = wanted.where(c.reader == query.reader)
    return _between(wanted, query.since_ms, query.until_ms).group_by(name)


def _sums_of_reads(query: AggregateQuery) -> Select[Any]:
    rows, reads = LEDGER_ROWS.c, LEDGER_READS.c
    day = (rows.at_ms - rows.at_ms % DAY_MS).label("name")
    name = {"publisher": reads.publisher, "document": reads.document}.get(query.by, day)
    nothing = func.sum(reads.tokens) * 0
    wanted = (
        select(
            name.label("name"),
            *_counts(),
            nothing.label("prompt_tokens"),
            func.sum(reads.tokens).label("cached_tokens"),
            nothing.label("completion_tokens"),
            func.sum(reads.price).label("nano"),
            func.sum(reads.share).label("share"),
            func.sum(reads.saved_nano).label("saved_nano"),
            func.sum(reads.saved_us).label("saved_us"),
        )
        .select_from(LEDGER_READS.join(LEDGER_ROWS, rows.seq == reads.seq))
        .group_by(name)
    )
    if query.reader is not None:
        wanted = wanted.where(rows.reader == query.reader)
    if query.publisher is not None:
        wanted = wanted.where(reads.publisher == query.publisher)
    return _between(wanted, query.since_ms, query.until_ms)


def _counts() -> tuple[Any, Any]:
    rows = LEDGER_ROWS.c
    count = func.count(func.distinct(rows.seq))
    return count.filter(rows.kind != "refund").label("read"), count.filter(rows.kind == "refund").label(
        "refunded"
    )


def _between(wanted: Select[Any], since_ms: int | None, until_ms: int | None) -> Select[Any]:
    if since_ms is not None:
        wanted = wanted.where(LEDGER_ROWS.c.at_ms >= since_ms)
    if until_ms is not None:
        wanted = wanted.where(LEDGER_ROWS.c.at_ms < until_ms)
    return wanted


def _day(start_ms: int) -> str:
    return datetime.fromtimestamp(start_ms // 1000, UTC).date().isoformat()


def _aggregate(row: Any, by: AggregateBy) -> Aggregate:
    return Aggregate(
        name=_day(row.name) if by == "day" else row.name,
        requests=row.read - row.refunded,
        prompt_tokens=int(row.prompt_tokens),
        cached_tokens=int(row.cached_tokens),
        completion_tokens=int(row.completion_tokens),
        nano=int(row.nano),
        share=int(row.share),
        saved_nano=int(row.saved_nano),
        saved_us=int(row.saved_us),
    )

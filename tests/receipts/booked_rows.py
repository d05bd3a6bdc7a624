"""Rows of a ledger, written as its writer does, for the tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from kvproxy.database.database import Database
from kvproxy.database.tables.ledger_tables import LEDGER_READS, LEDGER_ROWS
from kvproxy.ledger.bookings import Booking, LedgerRow, RowContent
from kvproxy.ledger.row_body import GENESIS, chained, content_of
from kvproxy.receipts.receipt_claims import BookedRead


def booking_of(read: BookedRead) -> Booking:
    return Booking(
        read.request_id,
        read.at_ms,
        read.reader,
        None,
        read.metered,
        read.charge,
        fingerprint=read.fingerprint,
    )


def book(database: Database, contents: Sequence[BookedRead | RowContent]) -> list[LedgerRow]:
    """Append rows to the chain."""
    rows: list[LedgerRow] = []
    with database.transaction() as db:
        end = db.execute(
            select(LEDGER_ROWS.c.seq, LEDGER_ROWS.c.hash).order_by(LEDGER_ROWS.c.seq.desc()).limit(1)
        ).one_or_none()
        seq, previous = (0, GENESIS) if end is None else end
        for given in contents:
            content = content_of(booking_of(given)) if isinstance(given, BookedRead) else given
            rows.append(chained(content, seq := seq + 1, previous))
            previous = rows[-1].hash
            _insert(db, rows[-1])
    return rows


def _insert(db: Connection, row: LedgerRow) -> None:
    m, c = row.metered, row.charge
    db.execute(
        insert(LEDGER_ROWS).values(
            seq=row.seq,
            id=row.id,
            kind=row.kind,
            at_ms=row.at_ms,
            reader=row.reader,
            key=row.key,
            model=row.model,
            prompt_tokens=m.prompt_tokens,
            cached_tokens=m.cached_tokens,
            completion_tokens=m.completion_tokens,
            cost=c.cost,
            cold_cost=c.cold_cost,
            seconds_saved_us=row.seconds_saved_us,
            body=row.body,
            previous=row.previous,
            hash=row.hash,
        )
    )
    for position, one in enumerate(c.documents):
        db.execute(
            insert(LEDGER_READS).values(
                seq=row.seq,
                position=position,
                document=one.read.document,
                publisher=one.read.publisher,
                tokens=one.read.tokens,
                price=one.price,
                share=one.publisher_share,
                saved_nano=0,
                saved_us=0,
            )
        )

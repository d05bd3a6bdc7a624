"""`ReceiptLog`: each publisher's receipts as a log that only grows, made from the ledger's rows. Blocking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from kvproxy.core import parse_nano
from kvproxy.database.database import Database
from kvproxy.database.tables.ledger_tables import LEDGER_READS, LEDGER_ROWS
from kvproxy.database.tables.receipt_tables import RECEIPT_LEAVES
from kvproxy.errors import InvalidRequest, Unavailable
from kvproxy.ledger.bookings import LedgerRow
from kvproxy.ledger.row_body import read_row
from kvproxy.receipts.receipt_claims import BookedRead, ReceiptNames, receipt_claims
from kvproxy.receipts.statement_claims import ListedReceipt, receipt_leaf

MOST_READS = 100_000
"""The most receipts in one statement."""

_BATCH = 500
_LOST = 20
_Leaves = RECEIPT_LEAVES.c
_STORED = (LEDGER_ROWS.c.body, LEDGER_ROWS.c.previous, LEDGER_ROWS.c.hash)


@dataclass(frozen=True, slots=True)
class LogPiece:
    """The receipts of a publisher from number ``first`` on."""

    first: int
    before: tuple[bytes, ...]
    """The leaves before them."""
    receipts: tuple[ListedReceipt, ...]


def booked_read(row: LedgerRow) -> BookedRead:
    """Return the part of a row that its receipts are made of."""
    return BookedRead(row.id, row.at_ms, row.reader, row.metered, row.charge, row.fingerprint, row.refunds)


class ReceiptLog:
    """The leaves of each publisher's log, written once when they are first asked for.

    A row's receipts are computed outside of any transaction: the ledger's writer waits for short inserts alone.

    Example:
        ``ReceiptLog(database, names, "kv.example").piece("acme", since_ms, until_ms).receipts``
    """

    def __init__(self, database: Database, names: ReceiptNames, host: str) -> None:
        self._database = database
        self._names = names
        self._host = host

    def claims(self, row: LedgerRow) -> list[dict[str, object]]:
        """Return the claims of all receipts of a row."""
        booked = booked_read(row)
        indices = range(len(booked.charge.documents))
        return [receipt_claims(booked, index, host=self._host, names=self._names) for index in indices]

    def row(self, request_id: str) -> LedgerRow | None:
        """Return the row of a request; None for one that is not booked."""
        found = select(*_STORED).where(LEDGER_ROWS.c.id == request_id)
        with self._database.snapshot() as db:
            stored = db.execute(found).one_or_none()
        return None if stored is None else read_row(*stored)

    def piece(self, publisher: str, since_ms: int, until_ms: int) -> LogPiece:
        """Return the receipts of a period, in the order in which they were booked.

        A period begins with the first row that is dated in it. Raises InvalidRequest for more than MOST_READS.

        Example:
            ``log.piece("acme", 0, 1_800_000_000_000).first``
        """
        self.catch_up(publisher)
        with self._database.snapshot() as db:
            first = self._count(db, publisher, since_ms)
            size = max(first, self._count(db, publisher, until_ms))
            if size - first > MOST_READS:
                raise InvalidRequest(
                    f"The period has {size - first} reads; a statement has at most {MOST_READS}. Ask for less time.",
                    param="to",
                )
            before = self._leaves(db, publisher, first)
            rows = db.execute(
                select(_Leaves.receipt, _Leaves.leaf, _Leaves.tokens, _Leaves.price, _Leaves.share)
                .where(_Leaves.publisher == publisher, _Leaves.number >= first, _Leaves.number < size)
                .order_by(_Leaves.number)
            ).all()
        listed = tuple(ListedReceipt(r[0], bytes.fromhex(r[1]), r[2], r[3], r[4]) for r in rows)
        return LogPiece(first, tuple(before), listed)

    def leaves(self, publisher: str) -> list[bytes]:
        """Return all leaves of a publisher's log."""
        self.catch_up(publisher)
        with self._database.snapshot() as db:
            return self._leaves(db, publisher, None)

    def number_of(self, publisher: str, receipt: str) -> int | None:
        """Return the place of a receipt in its publisher's log; None for one that is not in it."""
        self.catch_up(publisher)
        found = select(_Leaves.number).where(_Leaves.publisher == publisher, _Leaves.receipt == receipt)
        with self._database.snapshot() as db:
            return db.execute(found).scalar_one_or_none()

    def rows_between(self, publisher: str, first: int, size: int) -> list[LedgerRow]:
        """Return the ledger's rows of the receipts ``first`` to ``size`` of a publisher, each once.

        Example:
            ``[row.id for row in log.rows_between("acme", 0, 10)]``
        """
        wanted = (
            select(_Leaves.seq)
            .where(_Leaves.publisher == publisher, _Leaves.number >= first, _Leaves.number < size)
            .distinct()
        )
        with self._database.snapshot() as db:
            return self._rows(db, LEDGER_ROWS.c.seq.in_(wanted))

    def catch_up(self, publisher: str) -> None:
        """Write the leaves of rows that were booked since the last call. Several processes may do so at once."""
        lost = 0
        while True:
            with self._database.snapshot() as db:
                newest = db.execute(
                    select(func.max(_Leaves.seq), func.max(_Leaves.number)).where(
                        _Leaves.publisher == publisher
                    )
                ).one()
                seq, number = newest[0] or 0, -1 if newest[1] is None else newest[1]
                wanted = (
                    select(LEDGER_READS.c.seq)
                    .where(LEDGER_READS.c.publisher == publisher, LEDGER_READS.c.seq > seq)
                    .distinct()
                    .order_by(LEDGER_READS.c.seq)
                    .limit(_BATCH)
                )
                rows = self._rows(db, LEDGER_ROWS.c.seq.in_(wanted.scalar_subquery()))
            if not rows:
                return
            try:
                with self._database.transaction() as db:
                    db.execute(insert(RECEIPT_LEAVES), self._new_leaves(publisher, rows, number + 1))
            except IntegrityError as e:
                lost += 1  # another process wrote the same leaves first
                if lost == _LOST:
                    raise Unavailable("The log of receipts is being written by others; try again.") from e

    def _new_leaves(self, publisher: str, rows: Sequence[LedgerRow], number: int) -> list[dict[str, object]]:
        leaves: list[dict[str, object]] = []
        for row in rows:
            for claims in self.claims(row):
                if claims["publisher"] == publisher:
                    leaves.append(_leaf_values(claims, row.seq, number + len(leaves)))
        return leaves

    def _count(self, db: Connection, publisher: str, ms: int) -> int:
        """Return the number of receipts before a period that begins at ``ms``."""
        start = db.execute(select(func.min(LEDGER_ROWS.c.seq)).where(LEDGER_ROWS.c.at_ms >= ms)).scalar()
        count = select(func.count()).where(_Leaves.publisher == publisher)
        if start is not None:
            count = count.where(_Leaves.seq < start)
        return int(db.execute(count).scalar_one())

    def _leaves(self, db: Connection, publisher: str, most: int | None) -> list[bytes]:
        wanted = (
            select(_Leaves.leaf).where(_Leaves.publisher == publisher).order_by(_Leaves.number).limit(most)
        )
        return [bytes.fromhex(leaf) for leaf in db.execute(wanted).scalars()]

    def _rows(self, db: Connection, where: ColumnElement[bool]) -> list[LedgerRow]:
        wanted = select(*_STORED).where(where).order_by(LEDGER_ROWS.c.seq)
        return [read_row(*stored) for stored in db.execute(wanted)]


def _leaf_values(claims: dict[str, object], seq: int, number: int) -> dict[str, object]:
    return {
        "publisher": claims["publisher"],
        "number": number,
        "seq": seq,
        "receipt": claims["id"],
        "leaf": receipt_leaf(claims).hex(),
        "tokens": claims["tokens"],
        "price": parse_nano(str(claims["price"])),
        "share": parse_nano(str(claims["publisher_share"])),
    }

"""`CatalogNotes`: reads and last verifications of documents, in memory and in the database. Blocking."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select

from kvproxy.database.database import Database
from kvproxy.database.tables.catalog_tables import DOCUMENT_CHECKS
from kvproxy.database.tables.ledger_tables import LEDGER_READS
from kvproxy.documents.library.document_info import Verification

_Key = tuple[str, str]
"""A publisher, and a document with its version."""


@dataclass(frozen=True, slots=True)
class ReadCount:
    """The reads of one version so far, refunded ones too."""

    reads: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class LastCheck:
    """The measurements of one verification, over all framings of a version."""

    checked_ms: int
    exact: bool
    positions: int
    equal_positions: int
    pages: int
    equal_pages: int


class CatalogNotes:
    """Notes of all documents. ``refresh`` reads what is new; the look-ups are of memory, for the event loop.

    Example:
        ``notes = CatalogNotes(database); notes.refresh(); notes.reads("acme", "handbook@3").tokens``
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._seq = 0
        self._reads: dict[_Key, ReadCount] = {}
        self._checks: dict[tuple[str, str, int], LastCheck] = {}

    def reads(self, publisher: str, document: str) -> ReadCount:
        """Return the reads of ``handbook@3``."""
        return self._reads.get((publisher, document), ReadCount())

    def last_check(self, publisher: str, document_id: str, version: int) -> LastCheck | None:
        """Return what the last verification measured; None where there was none.

        Example:
            ``notes.last_check("acme", "handbook", 3)``
        """
        return self._checks.get((publisher, document_id, version))

    def refresh(self) -> None:
        """Add the ledger's reads since the last call, and read the verifications again."""
        with self._lock, self._database.snapshot() as db:
            end = db.execute(select(func.max(LEDGER_READS.c.seq))).scalar() or 0
            columns = LEDGER_READS.c.publisher, LEDGER_READS.c.document
            added = db.execute(
                select(*columns, func.count(), func.sum(LEDGER_READS.c.tokens))
                .where(LEDGER_READS.c.seq > self._seq, LEDGER_READS.c.seq <= end, LEDGER_READS.c.tokens > 0)
                .group_by(*columns)
            ).all()
            checks = db.execute(select(DOCUMENT_CHECKS)).all()
            for publisher, document, reads, tokens in added:
                before = self.reads(publisher, document)
                after = ReadCount(before.reads + reads, before.tokens + int(tokens))
                self._reads[publisher, document] = after
            self._seq = end
        self._checks = {
            (row.publisher, row.document, row.version): LastCheck(
                row.checked_ms,
                bool(row.exact),
                row.positions,
                row.equal_positions,
                row.pages,
                row.equal_pages,
            )
            for row in checks
        }

    def note_check(
        self, publisher: str, document_id: str, version: int, found: Sequence[Verification], now_ms: int
    ) -> None:
        """Note what a verification has measured, in the place of the one before.

        Example:
            ``notes.note_check("acme", "handbook", 3, verifications, now_ms)``
        """
        table = DOCUMENT_CHECKS.c
        values = {
            "publisher": publisher,
            "document": document_id,
            "version": version,
            "checked_ms": now_ms,
            "exact": int(bool(found) and all(one.exact for one in found)),
            "positions": sum(one.positions for one in found),
            "equal_positions": sum(one.equal_positions for one in found),
            "pages": sum(one.pages for one in found),
            "equal_pages": sum(one.equal_pages for one in found),
        }
        with self._database.transaction() as db:
            db.execute(
                delete(DOCUMENT_CHECKS).where(
                    table.publisher == publisher, table.document == document_id, table.version == version
                )
            )
            db.execute(insert(DOCUMENT_CHECKS).values(values))
        self.refresh()

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.catalog.catalog_notes import CatalogNotes
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.documents.library.document_info import Verification
from kvproxy.ledger.row_body import taken_back
from tests.receipts.booked_reads import AT, read_of
from tests.receipts.booked_rows import book


@pytest.fixture
def database(a_database: Database) -> Database:
    METADATA.create_all(a_database.engine)
    return a_database


def test_reads_are_counted_once_and_refunds_are_no_reads(database: Database) -> None:
    notes = CatalogNotes(database)
    rows = book(database, [read_of(n, "acme", "zeta") for n in range(3)])
    notes.refresh()
    notes.refresh()
    assert (notes.reads("acme", "handbook-acme@3").reads, notes.reads("acme", "handbook-acme@3").tokens) == (
        3,
        3 * 3584,
    )
    book(database, [taken_back(rows[0], at_ms=AT * 1000, reason="cut"), read_of(9)])
    notes.refresh()
    assert notes.reads("acme", "handbook-acme@3").reads == 4
    assert notes.reads("zeta", "handbook-zeta@3").reads == 3
    assert notes.reads("acme", "unread@1").reads == 0


def test_the_last_verification_is_kept(database: Database, tmp_path: Path) -> None:
    notes = CatalogNotes(database)
    assert notes.last_check("acme", "handbook", 3) is None
    exact = Verification("handbook@3", "system", True, "", 100, 4, 4, 120, 120)
    differs = Verification("handbook@3", "user", False, "", 100, 4, 3, 120, 110)
    notes.note_check("acme", "handbook", 3, [exact, differs], AT * 1000)
    found = notes.last_check("acme", "handbook", 3)
    assert found is not None and not found.exact
    assert (found.positions, found.equal_positions, found.pages, found.equal_pages) == (240, 230, 8, 7)
    notes.note_check("acme", "handbook", 3, [exact], AT * 1000 + 1)
    again = CatalogNotes(database)
    again.refresh()
    assert again.last_check("acme", "handbook", 3) == notes.last_check("acme", "handbook", 3)
    last = again.last_check("acme", "handbook", 3)
    assert last is not None and last.exact
    notes.note_check("acme", "handbook", 3, [], AT * 1000 + 2)
    nothing = notes.last_check("acme", "handbook", 3)
    assert nothing is not None and not nothing.exact

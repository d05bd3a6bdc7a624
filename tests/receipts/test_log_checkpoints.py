from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import event, update

from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.database.tables.ledger_tables import LEDGER_ROWS
from kvproxy.errors import InvalidRequest
from kvproxy.receipts import log_checkpoints
from kvproxy.receipts.log_checkpoints import LogCheckpoints
from kvproxy.receipts.merkle_tree import leaf_hash, tree_root
from tests.receipts.booked_reads import read_of
from tests.receipts.booked_rows import book


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database.open(None, tmp_path)
    METADATA.create_all(database.engine)
    return database


def test_a_checkpoint_reads_the_rows_since_the_last_one_alone(database: Database) -> None:
    log = LogCheckpoints(database)
    rows = book(database, [read_of(n) for n in range(6)])
    assert log.advance().size == 6
    rows += book(database, [read_of(n) for n in range(6, 9)])
    asked: list[object] = []
    event.listen(
        database.engine, "before_cursor_execute", lambda c, cu, text, values, *_: asked.append((text, values))
    )
    root = log.advance()
    assert root.root == tree_root([leaf_hash(bytes.fromhex(row.hash)) for row in rows])
    (rows_asked,) = [one for one in asked if "FROM ledger_rows" in str(one)]
    assert "seq > ?" in str(rows_asked) and "(6,)" in str(rows_asked)


def test_two_processes_note_the_same_edge(database: Database) -> None:
    book(database, [read_of(n) for n in range(3)])
    assert LogCheckpoints(database).advance() == LogCheckpoints(database).advance()


def test_a_rewritten_ledger_contradicts_its_checkpoints(database: Database) -> None:
    log = LogCheckpoints(database)
    for n in range(3):
        book(database, [read_of(n)])
        log.advance()
    assert log.check() == []
    with database.transaction() as db:
        db.execute(update(LEDGER_ROWS).where(LEDGER_ROWS.c.seq == 2).values(hash="0" * 64))
    assert [fault.split(" rows")[0] for fault in log.check()] == ["the first 2", "the first 3"]


def test_sizes_that_have_no_proof(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LogCheckpoints(database)
    book(database, [read_of(n) for n in range(3)])
    for old, new in ((0, 3), (3, 2), (1, 4)):
        with pytest.raises(InvalidRequest, match="Sizes are 1 to 3"):
            log.consistent(old, new)
    with pytest.raises(InvalidRequest, match="none at 4"):
        log.row_included(4)
    monkeypatch.setattr(log_checkpoints, "MOST_PROVEN", 2)
    with pytest.raises(InvalidRequest, match="export the ledger"):
        log.consistent(1, 3)

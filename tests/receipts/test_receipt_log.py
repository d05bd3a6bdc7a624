from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.errors import InvalidRequest
from kvproxy.receipts import receipt_log
from kvproxy.receipts.reader_pseudonyms import ReaderPseudonyms
from kvproxy.receipts.receipt_log import ReceiptLog
from kvproxy.receipts.statement_claims import receipt_leaf
from tests.receipts.booked_reads import AT, read_of
from tests.receipts.booked_rows import book


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database.open(None, tmp_path)
    METADATA.create_all(database.engine)
    return database


@pytest.fixture
def log(database: Database) -> ReceiptLog:
    return ReceiptLog(database, ReaderPseudonyms(b"s" * 32), "kv.example")


def ms(number: int) -> int:
    return (AT + 600 * number) * 1000


def test_a_period_begins_with_its_first_row_and_never_changes(database: Database, log: ReceiptLog) -> None:
    book(database, [read_of(n) for n in range(4)])
    before = log.piece("acme", ms(0), ms(2))
    # A read of the first period that is booked late, after a crash, is in the period in which it was booked.
    late = read_of(9, at_ms=ms(1))
    book(database, [late, read_of(5)])
    assert log.piece("acme", ms(0), ms(2)) == before
    rest = log.piece("acme", ms(2), ms(99))
    assert rest.first == 2 and len(rest.receipts) == 4 and len(rest.before) == 2


def test_leaves_are_those_of_the_claims_in_the_order_of_the_ledger(
    database: Database, log: ReceiptLog
) -> None:
    rows = book(database, [read_of(1, "acme", "zeta", "acme"), read_of(2, "zeta"), read_of(3)])
    claims = [one for row in rows for one in log.claims(row) if one["publisher"] == "acme"]
    assert len(claims) == 3  # two documents of one request are two reads
    assert log.leaves("acme") == [receipt_leaf(one) for one in claims]
    assert [log.number_of("acme", str(one["id"])) for one in claims] == [0, 1, 2]
    assert log.number_of("zeta", str(claims[0]["id"])) is None and log.leaves("nobody") == []
    assert [row.id for row in log.rows_between("acme", 0, 3)] == [rows[0].id, rows[2].id]


def test_a_row_is_found_by_its_request(database: Database, log: ReceiptLog) -> None:
    (row,) = book(database, [read_of(1)])
    assert log.row(row.id) == row and log.row("chatcmpl-none") is None


def test_a_statement_is_not_longer_than_it_may_be(
    database: Database, log: ReceiptLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipt_log, "MOST_READS", 3)
    book(database, [read_of(n) for n in range(5)])
    with pytest.raises(InvalidRequest, match="Ask for less time"):
        log.piece("acme", 0, ms(99))
    assert len(log.piece("acme", 0, ms(3)).receipts) == 3

"""A ledger that was tampered with: each row that was changed, removed, moved or added is named."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import delete, insert, select, text, update

from kvproxy.core.charges import Charge
from kvproxy.database.database import Database
from kvproxy.database.tables.ledger_tables import LEDGER_HEAD, LEDGER_ROWS
from kvproxy.ledger.batch_booking import book_batch
from kvproxy.ledger.booking_sql import add_head, row_values
from kvproxy.ledger.bookings import LedgerRow
from kvproxy.ledger.lease_sql import tenant_credit
from kvproxy.ledger.ledger_check import chain_end, check, find_faults
from kvproxy.ledger.row_body import chained, read_row, row_hash
from kvproxy.ledger.transfers import NewCredit, book_credit, book_refund
from tests.ledger.made_bookings import NOW_MS, booking, metered, reprice

ROWS = 720
"""More than one page of the check."""


@pytest.fixture
def booked(ledger_database: Database) -> Database:
    """A ledger of a credit, 720 requests and a refund."""
    with ledger_database.transaction() as db:
        add_head(db)
    book_credit(ledger_database, NewCredit("alice", 10**9, "admin", "c1"), NOW_MS)
    ids = [f"r{number}" for number in range(ROWS)]
    for start in range(0, ROWS, 360):
        part = ids[start : start + 360]
        book_batch(
            ledger_database, "p", [booking(id, metered(cached=20 * (len(id) % 2), fresh=3)) for id in part]
        )
    book_refund(ledger_database, "r7", "test", at_ms=NOW_MS, credit_of=tenant_credit(0))
    return ledger_database


def stored(database: Database, id: str) -> LedgerRow:
    with database.snapshot() as db:
        row = db.execute(select(LEDGER_ROWS).where(LEDGER_ROWS.c.id == id)).one()
    return read_row(row.body, row.previous, row.hash)


def change(database: Database, statement: str, **values: object) -> None:
    with database.transaction() as db:
        assert db.execute(text(statement), values).rowcount >= 1


def faults(database: Database) -> list[str]:
    return [str(fault) for fault in check(database, reprice)]


def test_a_whole_ledger_has_no_fault(booked: Database) -> None:
    assert check(booked, reprice) == []
    assert chain_end(booked).seq == ROWS + 2


def test_an_empty_ledger_has_none(ledger_database: Database) -> None:
    assert check(ledger_database) == [] and chain_end(ledger_database).seq == 0


def test_a_changed_amount_is_named(booked: Database) -> None:
    row = stored(booked, "r600")
    change(
        booked,
        "UPDATE ledger_rows SET body = :body WHERE id = 'r600'",
        body=row.body.replace(f'"cost":"{row.charge.cost}"', '"cost":"1"'),
    )
    found = faults(booked)
    assert (
        found[0]
        == f"row {row.seq} (r600): its hash is not that of its content: it was changed after it was booked"
    )
    assert all(f"row {row.seq} (r600)" in one for one in found)
    assert any("the parts of a charge" in one for one in found)


def test_a_changed_column_and_entry_are_named(booked: Database) -> None:
    row = stored(booked, "r600")
    change(booked, "UPDATE ledger_rows SET reader = 'bertha' WHERE id = 'r600'")
    change(booked, "UPDATE ledger_entries SET nano = nano + 1 WHERE seq = :seq AND position = 1", seq=row.seq)
    change(booked, "DELETE FROM ledger_reads WHERE seq = :seq", seq=stored(booked, "r10").seq)
    found = faults(booked)
    assert f"row {row.seq} (r600): its column reader is 'bertha', its body says 'alice'" in found
    assert f"row {row.seq} (r600): its entries are not those of its body" in found
    assert any("(r10): its documents are not those of its body" in one for one in found)
    assert any(one.startswith("the balance of") for one in found)


def test_a_missing_row_is_named(booked: Database) -> None:
    seq = stored(booked, "r600").seq
    for table in ("ledger_rows", "ledger_entries", "ledger_reads"):
        with booked.transaction() as db:
            db.execute(text(f"DELETE FROM {table} WHERE seq = :seq"), {"seq": seq})
    found = faults(booked)
    assert found[0] == f"row {seq}: it is missing"
    assert any(re.match("the balance of reader:alice is", one) for one in found)


def test_missing_last_rows_are_named(booked: Database) -> None:
    with booked.transaction() as db:
        db.execute(delete(LEDGER_ROWS).where(LEDGER_ROWS.c.seq > ROWS))
    assert f"row {ROWS + 1}: it and all to row {ROWS + 2} are missing" in faults(booked)


def test_exchanged_rows_are_named(booked: Database) -> None:
    one, two = stored(booked, "r600"), stored(booked, "r700")
    change(booked, "UPDATE ledger_rows SET seq = 0 WHERE seq = :seq", seq=one.seq)
    change(booked, "UPDATE ledger_rows SET seq = :to WHERE seq = :seq", to=one.seq, seq=two.seq)
    change(booked, "UPDATE ledger_rows SET seq = :to WHERE seq = 0", to=two.seq)
    found = faults(booked)
    for row, id in ((one, "r700"), (two, "r600")):
        assert any(
            f.startswith(f"row {row.seq} ({id}): it does not follow from the row before") for f in found
        )
        assert any(f.startswith(f"row {row.seq} ({id}): its column seq is {row.seq}") for f in found)


def test_a_changed_hash_is_named(booked: Database) -> None:
    row = stored(booked, "r600")
    change(booked, "UPDATE ledger_rows SET hash = :hash WHERE id = 'r600'", hash="0" * 64)
    assert faults(booked) == [
        f"row {row.seq} (r600): its hash is not that of its content: it was changed after it was booked"
    ]


def test_a_row_rewritten_with_its_hash_is_named(booked: Database) -> None:
    """A row that is changed and hashed anew breaks the link to the next one."""
    row = stored(booked, "r600")
    body = row.body.replace('"prompt_tokens":3', '"prompt_tokens":4')
    body = body if body != row.body else row.body.replace('"prompt_tokens":23', '"prompt_tokens":24')
    change(
        booked,
        "UPDATE ledger_rows SET body = :body, hash = :hash, prompt_tokens = prompt_tokens + 1 WHERE id = 'r600'",
        body=body,
        hash=row_hash(row.previous, body),
    )
    found = faults(booked)
    assert any(
        f.startswith(f"row {row.seq + 1} (r601): it does not follow from the row before") for f in found
    )
    assert any(f.startswith(f"row {row.seq} (r600): it costs") for f in found)


def test_an_added_row_is_named(booked: Database) -> None:
    end = chain_end(booked)
    content = stored(booked, "r5")
    row = chained(content, end.seq + 1, end.hash)
    with booked.transaction() as db:
        db.execute(insert(LEDGER_ROWS), [{**row_values(row), "id": "forged"}])
    found = faults(booked)
    assert f"row {row.seq}: it lies behind the end of the chain, which is row {end.seq}" in found
    assert any("(forged): its column id is 'forged'" in one for one in found)


def test_a_wrong_price_and_an_unknown_tariff_are_named(booked: Database) -> None:
    wrong = [
        str(fault)
        for fault in check(booked, lambda row: None if row.id == "r1" else reprice(stored(booked, "r3")))
    ]
    assert any("(r1): its tariff 'tariff-1', or the terms" in one for one in wrong)
    assert any(
        re.search(r"\(r10\): it costs \d+ by its tariff and terms, \d+ was booked", one) for one in wrong
    )


def test_a_changed_balance_and_a_changed_end_are_named(booked: Database) -> None:
    change(booked, "UPDATE ledger_balances SET nano = nano + 5 WHERE account = 'host'")
    with booked.transaction() as db:
        db.execute(update(LEDGER_HEAD).values(hash="f" * 64))
    found = faults(booked)
    assert "all balances sum to 5, not to zero" in found
    assert any("the hash that was noted for the end of the chain is another one" in one for one in found)


def test_a_refund_that_takes_back_more_is_named(booked: Database) -> None:
    row = stored(booked, "refund:r7")
    body = row.body.replace('"refunds":"r7"', '"refunds":"r10"')
    change(booked, "UPDATE ledger_rows SET body = :body WHERE id = 'refund:r7'", body=body)
    assert any("it does not take back exactly what row" in one for one in faults(booked))


def test_rows_that_are_booked_during_a_check_are_no_faults(booked: Database) -> None:
    """It reads one snapshot, and stops no writer."""
    checking = find_faults(booked, lambda row: _book_more(booked, row))
    assert list(checking) == []
    assert chain_end(booked).seq > ROWS + 2


def _book_more(database: Database, row: LedgerRow) -> Charge | None:
    if row.id == "r500":
        book_batch(database, "p", [booking(f"more{n}") for n in range(3)])
    return reprice(row)

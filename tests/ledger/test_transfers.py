"""Credits and refunds: once, within bounds, and never of money that is spent."""

from __future__ import annotations

import pytest

from kvproxy.core.money import MOST_NANO
from kvproxy.database.database import Database
from kvproxy.errors import AlreadyUsed, InvalidRequest, NotFound
from kvproxy.ledger.batch_booking import book_batch
from kvproxy.ledger.booking_sql import add_head
from kvproxy.ledger.lease_sql import add_lease, tenant_credit
from kvproxy.ledger.ledger_check import check
from kvproxy.ledger.transfers import NewCredit, book_credit, book_refund, find_row, read_balance
from tests.ledger.made_bookings import NOW_MS, booking, reprice


@pytest.fixture
def begun(ledger_database: Database) -> Database:
    with ledger_database.transaction() as db:
        add_head(db)
    return ledger_database


def balance(database: Database, account: str) -> int:
    with database.snapshot() as db:
        return read_balance(db, account)


def refund(database: Database, id: str, reason: str = "") -> str:
    return book_refund(database, id, reason, at_ms=NOW_MS, credit_of=tenant_credit(0)).id


def test_a_credit_comes_from_its_account(begun: Database) -> None:
    for kind, source in (
        ("admin", "external:admin"),
        ("promotional", "promotional"),
        ("payment", "external:payment"),
    ):
        book_credit(begun, NewCredit("alice", 70, kind, kind), NOW_MS)  # type: ignore[arg-type]  # a text from a list
        assert balance(begun, source) == -70
    assert balance(begun, "reader:alice") == 210
    assert check(begun) == []


def test_a_credit_out_of_range_is_refused(begun: Database) -> None:
    for nano in (0, -1, MOST_NANO + 1):
        with pytest.raises(InvalidRequest, match="more than 0"):
            book_credit(begun, NewCredit("alice", nano, "admin", "c"), NOW_MS)
    for tenant, id, reference in (
        ("", "c", ""),
        ("a\x00", "c", ""),
        ("a", "x" * 201, ""),
        ("a", "c", "\ud800"),
    ):
        with pytest.raises(InvalidRequest, match="printable"):
            book_credit(begun, NewCredit(tenant, 1, "admin", id, reference), NOW_MS)
    book_credit(begun, NewCredit("alice", MOST_NANO, "admin", "c1"), NOW_MS)
    with pytest.raises(InvalidRequest, match="would pass"):
        book_credit(begun, NewCredit("alice", 1, "promotional", "c2"), NOW_MS)
    with pytest.raises(InvalidRequest, match="would pass"):
        book_credit(begun, NewCredit("bertha", 1, "admin", "c3"), NOW_MS)


def test_an_id_is_credited_once(begun: Database) -> None:
    for _ in range(3):
        assert book_credit(begun, NewCredit("alice", 5, "admin", "c1"), NOW_MS) == 5
    with pytest.raises(AlreadyUsed, match="another amount or tenant"):
        book_credit(begun, NewCredit("alice", 6, "admin", "c1"), NOW_MS)


def test_a_read_is_taken_back_once(begun: Database) -> None:
    book_batch(begun, "p", [booking("r1")])
    cost = booking("r1").charge.cost
    assert balance(begun, "reader:alice") == -cost
    assert refund(begun, "r1", "cut off") == refund(begun, "r1") == "refund:r1"
    assert [balance(begun, a) for a in ("reader:alice", "publisher:paula", "host")] == [0, 0, 0]
    with pytest.raises(InvalidRequest, match="is a refund"):
        refund(begun, "refund:r1")
    with pytest.raises(NotFound, match="no row 'r2'"):
        refund(begun, "r2")
    with begun.snapshot() as db:
        row = find_row(db, "refund:r1")
    assert row is not None and row.reference == "cut off"
    assert check(begun, reprice) == []


def test_a_credit_that_is_spent_or_held_is_not_taken_back(begun: Database) -> None:
    book_credit(begun, NewCredit("alice", 1000, "admin", "c1"), NOW_MS)
    with begun.transaction() as db:
        add_lease(db, "p", "alice", 1)
    with pytest.raises(InvalidRequest, match=r"no more than 0\.000000999 is unused"):
        refund(begun, "credit:c1")
    with begun.transaction() as db:
        add_lease(db, "p", "alice", -1)
    assert refund(begun, "credit:c1") == "refund:credit:c1"
    assert balance(begun, "reader:alice") == 0

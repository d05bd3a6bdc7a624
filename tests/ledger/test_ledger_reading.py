"""Pages of rows, and sums that know refunds and top-ups."""

from __future__ import annotations

import dataclasses

import pytest

from kvproxy.database.database import Database
from kvproxy.ledger.batch_booking import book_batch
from kvproxy.ledger.booking_sql import add_head
from kvproxy.ledger.lease_sql import tenant_credit
from kvproxy.ledger.ledger_reading import DAY_MS, Aggregate, AggregateQuery, RowQuery, read_rows, read_sums
from kvproxy.ledger.transfers import NewCredit, book_credit, book_refund
from tests.ledger.made_bookings import NOW_MS, booking, metered


@pytest.fixture
def booked(ledger_database: Database) -> Database:
    """Two readers, two publishers, two days, a credit and a refund."""
    with ledger_database.transaction() as db:
        add_head(db)
    book_credit(ledger_database, NewCredit("alice", 10**6, "admin", "c1"), NOW_MS)
    book_batch(ledger_database, "p", [booking("a1"), booking("a2")])
    other = booking("b1", metered(cached=40, fresh=1, publisher="quentin"), tenant="bertha")
    book_batch(ledger_database, "p", [dataclasses.replace(other, at_ms=NOW_MS + DAY_MS, key=None)])
    book_refund(ledger_database, "a2", "test", at_ms=NOW_MS, credit_of=tenant_credit(0))
    return ledger_database


def ids(database: Database, query: RowQuery) -> list[str]:
    with database.snapshot() as db:
        return [row.id for row in read_rows(db, query)]


def test_rows_are_chosen_and_paged(booked: Database) -> None:
    assert ids(booked, RowQuery()) == ["credit:c1", "a1", "a2", "b1", "refund:a2"]
    assert ids(booked, RowQuery(limit=2)) == ["credit:c1", "a1"]
    assert ids(booked, RowQuery(after=2, limit=2)) == ["a2", "b1"]
    assert ids(booked, RowQuery(reader="bertha")) == ["b1"]
    assert ids(booked, RowQuery(publisher="paula")) == ["a1", "a2", "refund:a2"]
    assert ids(booked, RowQuery(key="key-1", kinds=("read",))) == ["a1", "a2"]
    assert ids(booked, RowQuery(since_ms=NOW_MS + 1)) == ["b1"]
    assert ids(booked, RowQuery(until_ms=NOW_MS + 1, kinds=("topup", "refund"))) == ["credit:c1", "refund:a2"]


def sums(database: Database, query: AggregateQuery) -> dict[str, Aggregate]:
    with database.snapshot() as db:
        return {one.name: one for one in read_sums(db, query)}


def test_sums_by_reader_and_model_leave_out_what_was_taken_back(booked: Database) -> None:
    one = booking("a1")
    found = sums(booked, AggregateQuery("reader"))
    assert found["alice"] == Aggregate(
        "alice", 1, 25, 20, 3, one.charge.cost, 0, one.charge.saved, one.seconds_saved_us
    )
    assert found["bertha"].nano == 500 and found["bertha"].saved_nano == 3600
    (model,) = sums(booked, AggregateQuery("model")).values()
    assert (model.name, model.requests, model.nano) == ("tiny", 2, one.charge.cost + 500)


def test_sums_by_publisher_and_document(booked: Database) -> None:
    found = sums(booked, AggregateQuery("publisher"))
    assert found["quentin"] == Aggregate("quentin", 1, 0, 40, 0, 400, 200, 3600, 280)
    assert (found["paula"].requests, found["paula"].cached_tokens, found["paula"].share) == (1, 20, 100)
    assert set(sums(booked, AggregateQuery("publisher", publisher="paula"))) == {"paula"}
    (document,) = sums(booked, AggregateQuery("document", reader="bertha")).values()
    assert (document.name, document.requests, document.nano) == ("handbook@1", 1, 400)


def test_sums_by_day_are_in_their_order(booked: Database) -> None:
    assert list(sums(booked, AggregateQuery("day"))) == ["2026-09-21", "2026-09-22"]
    assert list(sums(booked, AggregateQuery("day", since_ms=NOW_MS + 1))) == ["2026-09-22"]
    assert sums(booked, AggregateQuery("day", until_ms=1)) == {}


def test_sums_of_a_publisher_by_day_are_of_its_reads_alone(booked: Database) -> None:
    (quentin,) = sums(booked, AggregateQuery("day", publisher="quentin")).values()
    assert quentin == Aggregate("2026-09-22", 1, 0, 40, 0, 400, 200, 3600, 280)
    (paula,) = sums(booked, AggregateQuery("day", publisher="paula")).values()
    assert (paula.name, paula.requests, paula.cached_tokens, paula.share) == ("2026-09-21", 1, 20, 100)

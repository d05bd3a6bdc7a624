"""Batches: all or nothing, each id once, one bad record alone set aside."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from kvproxy.database.database import Database
from kvproxy.database.tables.ledger_tables import LEDGER_COUNTERS, LEDGER_LEASES, LEDGER_ROWS
from kvproxy.ledger.batch_booking import book_batch, book_or_set_aside
from kvproxy.ledger.booking_sql import add_head
from kvproxy.ledger.bookings import Booking
from kvproxy.ledger.journal_backlog import read_backlog
from kvproxy.ledger.lease_sql import add_lease, own_leases
from kvproxy.ledger.ledger_check import check
from tests.ledger.made_bookings import booking, metered, reprice


@pytest.fixture
def begun(ledger_database: Database) -> Database:
    with ledger_database.transaction() as db:
        add_head(db)
        add_lease(db, "p", "alice", 10_000)
    return ledger_database


def test_an_id_is_booked_once(begun: Database) -> None:
    seen: list[str] = []

    def note(db: Connection, bookings: Sequence[Booking]) -> None:
        seen.extend(one.request_id for one in bookings)

    cost = booking("r").charge.cost
    batch = book_batch(begun, "p", [booking("r1"), booking("r1"), booking("r2")], note)
    assert batch.first == {"r1", "r2"} and batch.leases == {"alice": 10_000 - 2 * cost}
    again = book_batch(begun, "p", [booking("r2"), booking("r3")], note)
    assert again.first == {"r3"} and again.leases == {"alice": 10_000 - 3 * cost}
    assert seen == ["r1", "r2", "r3"]
    assert book_batch(begun, "p", [booking("r2")], note).first == frozenset() and len(seen) == 3
    with begun.snapshot() as db:
        counted = db.execute(select(LEDGER_COUNTERS.c.requests)).scalars().all()
        assert set(counted) == {3} and len(counted) == 6
    assert check(begun, reprice) == []


def test_a_failure_inside_books_nothing(begun: Database) -> None:
    def fail(db: Connection, bookings: Sequence[Booking]) -> None:
        raise RuntimeError("a grant's counter")

    with pytest.raises(RuntimeError):
        book_batch(begun, "p", [booking("r1")], fail)
    with begun.snapshot() as db:
        assert db.execute(select(LEDGER_ROWS)).all() == []
        assert own_leases(db, "p") == {"alice": 10_000}


def test_a_lease_never_falls_below_zero(begun: Database) -> None:
    """Settlements under credit without limit take no more than there is."""
    dear = booking("r1", metered(fresh=500))
    assert book_batch(begun, "p", [dear]).leases == {"alice": 0}
    assert book_batch(begun, "other", [booking("r2")]).leases == {"alice": 0}
    with begun.snapshot() as db:
        assert list(db.execute(select(LEDGER_LEASES.c.nano)).scalars()) == [0]


def test_a_record_that_cannot_be_stored_is_set_aside_alone(begun: Database, tmp_path: Path) -> None:
    impossible = dataclasses.replace(booking("bad"), metered=metered(fresh=2**70))
    odd = dataclasses.replace(booking("odd"), fingerprint="nul\x00, surrogate \ud800")
    batch = [booking("r1"), impossible, odd, booking("r2")]
    assert book_or_set_aside(begun, "p", batch, folder=tmp_path).first == {"r1", "odd", "r2"}
    assert read_backlog(tmp_path).refused == 1
    with begun.snapshot() as db:
        assert set(db.execute(select(LEDGER_ROWS.c.id)).scalars()) == {"r1", "odd", "r2"}
    assert check(begun, reprice) == []

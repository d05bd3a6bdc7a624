"""The writer's thread: jobs in their order, bookings in groups, faults that end nothing."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from sqlalchemy import select

from kvproxy.database.database import Database
from kvproxy.database.tables.ledger_tables import LEDGER_PROCESSES, LEDGER_ROWS
from kvproxy.errors import ShuttingDown
from kvproxy.ledger.ledger_writer import LedgerWriter
from tests.ledger.made_bookings import a_clerk, booking, hold_request


def ids(database: Database) -> list[str]:
    with database.snapshot() as db:
        return list(db.execute(select(LEDGER_ROWS.c.id).order_by(LEDGER_ROWS.c.seq)).scalars())


def test_jobs_run_in_their_order_and_their_errors_are_their_own(
    ledger_database: Database, tmp_path: Path
) -> None:
    writer = LedgerWriter(a_clerk(ledger_database, tmp_path))
    ran: list[int] = []
    futures = [writer.submit(lambda n=n: ran.append(n)) for n in range(5)]  # type: ignore[misc]  # bound early
    failing = writer.submit(lambda: 1 // 0)
    for future in futures:
        future.result()
    assert ran == [0, 1, 2, 3, 4]
    with pytest.raises(ZeroDivisionError):
        failing.result()
    assert writer.submit(lambda: 7).result() == 7
    writer.close()
    writer.close()
    with pytest.raises(ShuttingDown):
        writer.submit(lambda: 7)


def test_what_is_settled_is_booked_by_itself(ledger_database: Database, tmp_path: Path) -> None:
    clerk = a_clerk(ledger_database, tmp_path, credit=None)
    writer = LedgerWriter(clerk)
    for number in range(3):
        hold = writer.submit(lambda id=f"r{number}": clerk.provide(hold_request(id))).result()  # type: ignore[misc]  # bound early
        hold.settle(booking(hold.request.request_id))
    booked = threading.Event()
    while clerk.unbooked:  # no job asks for it
        booked.wait(0.01)
    writer.close()
    assert ids(ledger_database) == ["r0", "r1", "r2"]
    with ledger_database.snapshot() as db:
        assert db.execute(select(LEDGER_PROCESSES)).all() == []


def test_a_cancelled_job_does_not_run(ledger_database: Database, tmp_path: Path) -> None:
    writer = LedgerWriter(a_clerk(ledger_database, tmp_path))
    begun, go = threading.Event(), threading.Event()
    ran: list[int] = []

    def wait() -> None:
        begun.set()
        go.wait()

    first = writer.submit(wait)
    begun.wait()
    second = writer.submit(lambda: ran.append(2))
    assert second.cancel()
    go.set()
    first.result()
    writer.close()
    assert ran == []
    with pytest.raises(CancelledError):
        second.result()

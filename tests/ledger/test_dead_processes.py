"""Processes that have ended: their journals are booked, then their leases go back; the living are left alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from sqlalchemy import select, update

from kvproxy.core.charges import Charge
from kvproxy.database.database import Database
from kvproxy.database.tables.ledger_tables import LEDGER_LEASES, LEDGER_PROCESSES, LEDGER_ROWS
from kvproxy.ledger.bookings import Booking
from kvproxy.ledger.dead_processes import Undertaker, bury, this_host
from kvproxy.ledger.transfers import NewCredit, book_credit
from tests.ledger.made_bookings import NOW_MS, a_clerk, booking, crash, hold_request


def leases(database: Database) -> dict[str, int]:
    with database.snapshot() as db:
        return {row.process: row.nano for row in db.execute(select(LEDGER_LEASES))}


def ids(database: Database) -> set[str]:
    with database.snapshot() as db:
        return set(db.execute(select(LEDGER_ROWS.c.id)).scalars())


def test_a_dead_process_is_buried_once(ledger_database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    clerk = a_clerk(ledger_database, folder)
    book_credit(ledger_database, NewCredit("alice", 10_000, "admin", "c1"), NOW_MS)
    clerk.provide(hold_request("r1", 1000)).settle(booking("r1"))
    clerk.provide(hold_request("r2", 1000))
    assert not bury(ledger_database, folder, clerk.process)
    assert leases(ledger_database) == {clerk.process: 10_000}
    crash(clerk)
    assert bury(ledger_database, folder, clerk.process)
    assert ids(ledger_database) == {"credit:c1", "r1"} and leases(ledger_database) == {}
    assert list(folder.iterdir()) == []
    assert bury(ledger_database, folder, clerk.process)


def test_a_damaged_record_is_told_and_kept(
    ledger_database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clerk = a_clerk(ledger_database, tmp_path, credit=None)
    for number in range(3):
        clerk.provide(hold_request(f"r{number}", 1000)).settle(booking(f"r{number}"))
    crash(clerk)
    (path,) = tmp_path.glob("*.journal")
    path.write_bytes(path.read_bytes().replace(b'"r1"', b'"rx"'))
    bury(ledger_database, tmp_path, clerk.process)
    assert ids(ledger_database) == {"r0", "r2"}
    assert "1 records" in caplog.text and len(list(tmp_path.glob("*.damaged"))) == 1


def test_a_process_of_another_folder_of_this_machine_is_buried(
    ledger_database: Database, tmp_path: Path
) -> None:
    dead, alive = a_clerk(ledger_database, tmp_path / "dead"), a_clerk(ledger_database, tmp_path / "alive")
    dead.provide(hold_request("r0", 0)).settle(free("r0"))
    crash(dead)
    alive.beat()
    assert "r0" in ids(ledger_database)
    with ledger_database.snapshot() as db:
        assert db.execute(select(LEDGER_PROCESSES.c.id)).scalars().all() == [alive.process]
    alive.close()


def free(id: str) -> Booking:
    return dataclasses.replace(booking(id), charge=Charge("USD", 0, 0, 0, (), ""))


def test_a_silent_process_of_another_machine_loses_its_leases(
    ledger_database: Database, tmp_path: Path
) -> None:
    far = a_clerk(ledger_database, tmp_path / "far")
    book_credit(ledger_database, NewCredit("alice", 10_000, "admin", "c1"), NOW_MS)
    far.provide(hold_request("r1", 1000)).settle(booking("r1"))
    with ledger_database.transaction() as db:
        db.execute(update(LEDGER_PROCESSES).values(host="another machine"))
    patient = Undertaker(ledger_database, tmp_path / "near", "near", dead_s=3600.0)
    patient.registered()
    assert leases(ledger_database) == {far.process: 10_000}
    hasty = Undertaker(ledger_database, tmp_path / "near", "near", dead_s=-1.0)
    hasty.registered()
    assert leases(ledger_database) == {}
    far.beat()  # it is there after all: it registers anew, and has no lease any more
    assert far.holds.purse("alice").leased == 0
    far.close()
    assert ids(ledger_database) == {"credit:c1", "r1"}


def test_a_host_has_one_name() -> None:
    assert this_host() == this_host() and this_host()

"""The database itself refuses what must not be: a second row of an id, a second lease of a process."""

from __future__ import annotations

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.database.tables.ledger_tables import LEDGER_LEASES, LEDGER_ROWS
from kvproxy.ledger.booking_sql import row_values
from kvproxy.ledger.row_body import GENESIS, chained, content_of
from tests.ledger.made_bookings import booking


def test_an_id_and_a_place_exist_once(a_database: Database) -> None:
    METADATA.create_all(a_database.engine)
    row = row_values(chained(content_of(booking("r1")), 1, GENESIS))
    with a_database.transaction() as db:
        db.execute(insert(LEDGER_ROWS), [row])
    for again in ({**row, "seq": 2}, {**row, "id": "r2"}):
        with pytest.raises(IntegrityError), a_database.transaction() as db:
            db.execute(insert(LEDGER_ROWS), [again])


def test_a_process_has_one_lease_of_an_account(a_database: Database) -> None:
    METADATA.create_all(a_database.engine)
    lease = {"process": "p", "account": "reader:alice", "nano": 2**62, "wanted": 0}
    with a_database.transaction() as db:
        db.execute(insert(LEDGER_LEASES), [lease, {**lease, "process": "q"}])
    with pytest.raises(IntegrityError), a_database.transaction() as db:
        db.execute(insert(LEDGER_LEASES), [lease])

"""A database with the ledger's tables, of each kind."""

from __future__ import annotations

import pytest
from sqlalchemy import event

import kvproxy.database.tables  # noqa: F401 - registers the tables
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA


@pytest.fixture
def ledger_database(a_database: Database) -> Database:
    """An empty database with all tables, on SQLite and on PostgreSQL."""
    if a_database.is_sqlite:
        # As PostgreSQL's fsync in these tests: the machine's failure is no subject of them, the process's is.
        event.listen(a_database.engine, "connect", lambda db, _: db.execute("PRAGMA synchronous = OFF"))
    METADATA.create_all(a_database.engine)
    return a_database

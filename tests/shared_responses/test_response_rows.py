from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.shared_responses.response_rows import (
    damaged_records,
    delete_record,
    key_of,
    read_record,
    size_of,
    trim_records,
    write_record,
)
from kvproxy.store.sealed_record import unseal
from tests.database.postgres import new_schema


@pytest.fixture
def database(postgres_url: str, tmp_path: Path) -> Iterator[Database]:
    with new_schema(postgres_url) as url, Database.open(url, tmp_path) as database:
        migrate(database)
        yield database


def write(database: Database, scope: str, id: str, record: bytes = b"record", ttl_ms: int = 60_000) -> None:
    with database.transaction() as db:
        write_record(db, scope, id, record, ttl_ms)


def test_a_record_is_replaced_read_and_deleted(database: Database) -> None:
    write(database, "tenant:a", "resp_1", b"old")
    write(database, "tenant:a", "resp_1", b"new")
    with database.transaction() as db:
        assert unseal(key_of("tenant:a", "resp_1"), read_record(db, "tenant:a", "resp_1")) == b"new"
        assert read_record(db, "tenant:b", "resp_1") is None and not delete_record(db, "tenant:b", "resp_1")
        assert list(damaged_records(db)) == []
        assert delete_record(db, "tenant:a", "resp_1") and not delete_record(db, "tenant:a", "resp_1")


def test_what_is_over_is_not_there_and_goes_with_the_next_trim(database: Database) -> None:
    write(database, "tenant:a", "resp_1", ttl_ms=0)
    write(database, "tenant:a", "resp_2")
    with database.transaction() as db:
        assert read_record(db, "tenant:a", "resp_1") is None
        assert trim_records(db, 2**20) == 0 and not delete_record(db, "tenant:a", "resp_1")
        assert read_record(db, "tenant:a", "resp_2") is not None


def test_room_is_made_by_the_scope_that_has_the_most(database: Database) -> None:
    for i in range(200):
        write(database, "tenant:large", f"resp_{i:03}", b"x" * 1_000)
    write(database, "tenant:small", "resp_s", b"x" * 1_000)
    most = 20 * size_of("tenant:large", "resp_000", b"x" * 1_000)
    with database.transaction() as db:
        dropped = trim_records(db, most)
        left = [i for i in range(200) if read_record(db, "tenant:large", f"resp_{i:03}") is not None]
        assert dropped == 200 - len(left) and left == list(range(200 - len(left), 200)) and len(left) == 19
        assert read_record(db, "tenant:small", "resp_s") is not None
        assert trim_records(db, most) == 0


def test_one_process_makes_room_at_a_time(database: Database) -> None:
    write(database, "tenant:a", "resp_1")
    with database.transaction() as db:
        assert trim_records(db, 2**20) == 0
        with database.transaction() as other:
            assert trim_records(other, 1) == 0, "another one is at it"
        assert trim_records(db, 1) == 1

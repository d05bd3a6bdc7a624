from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from kvproxy.bench.private_postgres import PostgresServer
from kvproxy.database.advisory_locks import AdvisoryLocks, lock_number
from kvproxy.database.database import Database
from kvproxy.errors import ShuttingDown, Unavailable
from tests.database.postgres import postgres_server


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def two(server: PostgresServer, tmp_path: Path) -> Iterator[tuple[AdvisoryLocks, AdvisoryLocks]]:
    with Database.open(server.url, tmp_path) as first, Database.open(server.url, tmp_path) as second:
        assert first.locks is not None and second.locks is not None
        yield first.locks, second.locks


def test_one_process_holds_a_lock(two: tuple[AdvisoryLocks, AdvisoryLocks]) -> None:
    first, second = two
    assert first.take("handbook") and not second.take("handbook") and second.take("notes")
    first.give_back("handbook")
    assert second.take("handbook") and not first.take("handbook")
    second.close()
    deadline = time.monotonic() + 30
    while not (first.take("handbook") and first.take("notes")):  # as soon as the server has seen its end
        assert time.monotonic() < deadline, "a process that has ended holds none"


def test_a_broken_session_is_replaced_and_takes_back_what_is_free(
    two: tuple[AdvisoryLocks, AdvisoryLocks], server: PostgresServer, tmp_path: Path
) -> None:
    first, second = two
    assert first.take("handbook")
    with Database.open(server.url, tmp_path) as other, other.transaction() as db:
        db.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kvproxy-locks'"
            )
        )
    assert first.take("notes"), "in a new session"
    assert not second.take("handbook"), "which holds the other one again"
    first.give_back("handbook")
    assert second.take("handbook")


def test_without_a_database_nothing_is_locked(
    two: tuple[AdvisoryLocks, AdvisoryLocks], server: PostgresServer
) -> None:
    first, _ = two
    assert first.take("handbook")
    server.stop()
    try:
        with pytest.raises(Unavailable) as refused:
            first.take("notes")
        assert refused.value.retry_after_s
        first.give_back("handbook")
    finally:
        server.start()
    assert first.take("handbook") and first.take("notes")


def test_nothing_is_locked_after_the_end(
    two: tuple[AdvisoryLocks, AdvisoryLocks], server: PostgresServer
) -> None:
    first, second = two
    first.close()
    with pytest.raises(ShuttingDown):
        first.take("handbook")
    first.give_back("handbook")
    assert second.take("handbook")


def test_those_who_wait_together_for_a_database_that_is_away_are_refused_together(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(8) as threads:
        url = f"postgresql+psycopg://kvproxy@127.0.0.1:{silent.getsockname()[1]}/kvproxy?connect_timeout=2"
        with Database.open(url, tmp_path) as database:
            assert database.locks is not None
            began = time.monotonic()
            for asked in [threads.submit(database.locks.take, f"name {i}") for i in range(8)]:
                with pytest.raises(Unavailable):
                    asked.result(timeout=60)
            assert time.monotonic() - began < 8, "one after the other they took 16 seconds"


def test_sqlite_has_none(tmp_path: Path) -> None:
    with Database.open(None, tmp_path) as database:
        assert database.locks is None and not database.changes.can_listen


def test_numbers_are_signed_and_of_the_name() -> None:
    numbers = {lock_number(f"name {i}") for i in range(1000)}
    assert len(numbers) == 1000 and all(-(2**63) <= number < 2**63 for number in numbers)
    assert min(numbers) < 0 < max(numbers)

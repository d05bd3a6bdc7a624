from __future__ import annotations

import os
import queue
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from kvproxy.bench.private_postgres import PostgresServer
from kvproxy.database.announcements import Change, ChangeTopic, announce
from kvproxy.database.database import Database
from tests.database.postgres import new_schema, postgres_server

DOCUMENTS = ChangeTopic.DOCUMENTS


def heard(database: Database) -> queue.Queue[Change]:
    changes: queue.Queue[Change] = queue.Queue()
    database.changes.subscribe(changes.put)
    return changes


def resynced(changes: queue.Queue[Change]) -> None:
    assert [changes.get(timeout=30) for _ in ChangeTopic] == [Change(topic) for topic in ChangeTopic]


def tell(database: Database, name: str) -> None:
    with database.transaction() as db:
        announce(db, DOCUMENTS, name)


def test_a_change_is_told_of_after_its_commit_once_and_only_if_it_is_committed(a_database: Database) -> None:
    changes = heard(a_database)
    with a_database.transaction() as db:
        announce(db, DOCUMENTS, "handbook")
        announce(db, DOCUMENTS, "handbook")
        assert changes.empty()
    assert changes.get_nowait() == Change(DOCUMENTS, "handbook", own=True) and changes.empty()
    with pytest.raises(KeyError), a_database.transaction() as db:
        announce(db, DOCUMENTS, "handbook")
        raise KeyError
    assert changes.empty()


def test_a_commit_whose_answer_is_lost_may_have_been_made(
    a_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, dialect = heard(a_database), a_database.engine.dialect
    commit = dialect.do_commit

    def lost(connection: Any) -> None:
        commit(connection)
        raise OSError("the connection was lost")

    monkeypatch.setattr(dialect, "do_commit", lost)
    with pytest.raises(OSError, match="lost"):
        tell(a_database, "handbook")
    assert changes.get_nowait() == Change(DOCUMENTS, "handbook"), "as another's, so that it is read again"
    assert changes.empty()


def test_a_subscriber_that_fails_or_has_stopped_is_in_nobodys_way(
    a_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: Change) -> None:
        raise ValueError("no")

    stop = a_database.changes.subscribe(fails)
    changes = heard(a_database)
    tell(a_database, "handbook")
    assert changes.get_nowait().name == "handbook" and "could not be followed" in caplog.text
    stop()
    caplog.clear()
    tell(a_database, "handbook")
    assert changes.get_nowait().name == "handbook" and not caplog.text


@pytest.fixture
def two(postgres_url: str, tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    with (
        new_schema(postgres_url) as url,
        Database.open(url, tmp_path) as first,
        Database.open(url, tmp_path) as second,
    ):
        yield first, second


def test_another_process_hears_of_it_and_its_own_once(two: tuple[Database, Database]) -> None:
    first, second = two
    changes = heard(second)
    second.changes.listen()
    second.changes.listen()
    resynced(changes)
    assert second.changes.listening and not first.changes.listening
    tell(second, "own")
    assert changes.get(timeout=30) == Change(DOCUMENTS, "own", own=True)
    tell(first, "other\nof somebody")
    assert changes.get(timeout=30) == Change(DOCUMENTS, "other\nof somebody")
    tell(first, "x" * 9_000)
    assert changes.get(timeout=30) == Change(DOCUMENTS), "longer than a payload: anything may have changed"
    with first.transaction() as db:
        db.execute(text("SELECT pg_notify('kvproxy_changes', 'of a newer version')"))
    tell(first, "after")
    assert changes.get(timeout=30).name == "after"


def test_it_listens_with_more_than_a_thousand_descriptors_open(
    two: tuple[Database, Database],
) -> None:
    first, second = two
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2048), before[1]))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        changes = heard(second)
        second.changes.listen()
        resynced(changes)
        tell(first, "handbook")
        assert changes.get(timeout=30) == Change(DOCUMENTS, "handbook")
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_connection_that_is_cut_off_at_once_is_tried_less_and_less_often(
    two: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second = two
    connected: list[float] = []

    def cut_off(_: object) -> None:
        connected.append(time.monotonic())
        raise OSError("cut off")

    monkeypatch.setattr(second.changes, "_follow", cut_off)
    second.changes.listen()
    time.sleep(2.5)
    second.changes.close()
    assert 3 <= len(connected) <= 8, "pauses of 0.1, 0.2, 0.4 and 0.8 seconds, each shortened by chance"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def test_it_connects_again_and_tells_of_everything(server: PostgresServer, tmp_path: Path) -> None:
    with Database.open(server.url, tmp_path) as database, Database.open(server.url, tmp_path) as other:
        changes = heard(database)
        database.changes.listen()
        resynced(changes)
        server.stop()
        server.start()
        resynced(changes)
        other.engine.dispose()
        tell(other, "handbook")
        assert changes.get(timeout=30) == Change(DOCUMENTS, "handbook")


def test_it_can_be_closed_without_a_database(server: PostgresServer, tmp_path: Path) -> None:
    server.stop()
    try:
        with Database.open(server.url, tmp_path) as database:
            database.changes.listen()
            assert not database.changes.wait_until_listening(0.3)
    finally:
        server.start()

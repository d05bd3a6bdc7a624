from __future__ import annotations

import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import QueuePool

from kvproxy.database.connection_limits import limited
from kvproxy.database.database import FILE_NAME, Database
from kvproxy.errors import SetupError


@pytest.fixture
def numbers(a_database: Database) -> Database:
    with a_database.transaction() as db:
        db.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
    return a_database


def count(database: Database) -> int:
    with database.snapshot() as db:
        return int(db.execute(text("SELECT COUNT(*) FROM numbers")).scalar_one())


def insert(database: Database, n: int) -> None:
    with database.transaction() as db:
        db.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": n})


def test_a_transaction_is_whole(numbers: Database) -> None:
    insert(numbers, 1)
    with pytest.raises(RuntimeError), numbers.transaction() as db:
        db.execute(text("INSERT INTO numbers VALUES (2)"))
        raise RuntimeError
    assert count(numbers) == 1


def test_a_snapshot_does_not_change_and_blocks_no_writer(numbers: Database) -> None:
    insert(numbers, 1)
    with numbers.snapshot() as db:
        before = db.execute(text("SELECT COUNT(*) FROM numbers")).scalar_one()
        insert(numbers, 2)  # ends while the snapshot is open
        after = db.execute(text("SELECT COUNT(*) FROM numbers")).scalar_one()
    assert (before, after, count(numbers)) == (1, 1, 2)


def test_writers_of_sqlite_wait_for_each_other(tmp_path: Path) -> None:
    """A read and the write that depends on it are one step: no increment is lost."""
    with Database.open(None, tmp_path) as database:
        with database.transaction() as db:
            db.execute(text("CREATE TABLE counter (n INTEGER)"))
            db.execute(text("INSERT INTO counter VALUES (0)"))

        def add() -> None:
            for _ in range(25):
                with database.transaction() as db:
                    n = db.execute(text("SELECT n FROM counter")).scalar_one()
                    db.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with database.snapshot() as db:
            assert db.execute(text("SELECT n FROM counter")).scalar_one() == 100


def test_a_transaction_that_outlives_its_database_leaves_no_connection(
    database_url: str | None, tmp_path: Path
) -> None:
    database = Database.open(database_url, tmp_path)
    with database.snapshot() as db:
        connection = db.connection.dbapi_connection
        database.close()
        assert db.execute(text("SELECT 1")).scalar_one() == 1
    assert connection is not None
    with pytest.raises(Exception, match="closed"):
        connection.cursor().execute("SELECT 1")
    assert isinstance(pool := database.engine.pool, QueuePool) and pool.checkedin() == 0


def test_a_server_that_never_answers_is_given_up_within_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as thread:
        url = f"postgresql+psycopg://kvproxy@127.0.0.1:{silent.getsockname()[1]}/kvproxy"
        with Database.open(url, tmp_path) as database:
            asked = thread.submit(insert, database, 1)
            try:
                with pytest.raises(OperationalError, match="timeout"):
                    asked.result(timeout=20)
            finally:
                silent.close()  # resets what waits


def test_what_the_url_says_of_a_connection_counts() -> None:
    url = make_url("postgresql+psycopg://host/name?connect_timeout=60")
    assert "connect_timeout" not in limited(url, "kvproxy") and limited(url, "kvproxy")["tcp_user_timeout"]
    assert limited(make_url("postgresql+pg8000://host/name"), "kvproxy") == {}


def test_the_file_is_the_users_own(tmp_path: Path) -> None:
    with Database.open(None, tmp_path / "store") as database:
        insert_nothing = database.is_sqlite
    assert insert_nothing
    assert stat.S_IMODE((tmp_path / "store" / FILE_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////proc/none/x", "postgresql+nodriver://host/name"])
def test_a_url_that_cannot_be_used_is_a_setup_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"database\.url"):
        Database.open(url, tmp_path)


def test_a_driver_is_imported_only_when_its_url_is_used(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from kvproxy.database.database import Database\n"
        f"with Database.open(None, Path({str(tmp_path)!r})) as d, d.transaction() as db:\n"
        "    db.exec_driver_sql('CREATE TABLE t (n INTEGER)')\n"
        "print(*sorted(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "sqlalchemy.dialects.sqlite" in loaded
    assert loaded & {"psycopg", "sqlalchemy.ext.asyncio", "sqlalchemy.orm", "alembic"} == set()

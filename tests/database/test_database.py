from __future__ import annotations

import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

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

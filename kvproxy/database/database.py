"""`Database`: a pool of connections to the database of one URL, and its transactions. Blocking, never on the loop."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.engine import Engine
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from kvproxy.database.advisory_locks import AdvisoryLocks
from kvproxy.database.announcements import Change, begin_noting
from kvproxy.database.change_feed import ChangeFeed
from kvproxy.database.connection_limits import limited
from kvproxy.errors import SetupError

FILE_NAME = "kvproxy.sqlite3"
"""The name of the database's file in the store's folder."""

_BUSY_S = 30.0


class Database:
    """Connections to one database. Safe from several threads; each transaction has a connection of its own.

    Example:
        ``with Database.open(None, folder) as database, database.transaction() as db: db.execute(select(TENANTS))``
    """

    def __init__(self, url: URL) -> None:
        """Make the pool. Nothing is connected yet; the driver is imported here, and only the URL's own."""
        self.url = url
        self.process = uuid.uuid4().hex
        """Names this object to the other processes of the database."""
        # Parameters stay out of errors, and so out of the log.
        if self.is_sqlite:
            self.engine: Engine = create_engine(url, connect_args={"timeout": _BUSY_S}, hide_parameters=True)
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_immediate)
        else:
            limits = limited(url, "kvproxy")
            self.engine = create_engine(
                url,
                connect_args=limits,
                pool_size=4,
                max_overflow=4,
                pool_pre_ping=True,
                hide_parameters=True,
            )
        self._closed = False
        event.listen(self.engine, "checkin", self._end_if_closed)
        self.changes = ChangeFeed(url, self.engine, self.process)
        """Tells of what is committed: by this object, and after ``changes.listen()`` by other processes."""
        self.locks = None if self.is_sqlite else AdvisoryLocks(url, self.engine)
        """Locks that the processes of the database share; None where it has none."""

    @classmethod
    def open(cls, url: str | None, folder: Path) -> Database:
        """Open the database of ``url``, or the SQLite file in ``folder`` for None. Raises SetupError.

        Example:
            ``Database.open("postgresql+psycopg://kvproxy@db/kvproxy", folder)``
        """
        try:
            parsed = make_url(url) if url else URL.create("sqlite", database=str(folder / FILE_NAME))
            if (kind := parsed.get_backend_name()) not in ("sqlite", "postgresql"):
                raise ArgumentError(f"it is of '{kind}', and PostgreSQL alone is known")
            if (path := _file_of(parsed)) is not None:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.touch(mode=0o600)
            return cls(parsed)
        except (ArgumentError, OSError) as e:
            raise SetupError(
                f"database.url cannot be used: {e}; write postgresql+psycopg://user@host/name"
            ) from e
        except ImportError as e:
            raise SetupError(
                f"database.url needs a driver that is not installed ({e.name}); pip install 'kvproxy[postgres]'"
            ) from e

    @staticmethod
    def file(url: str | None, folder: Path) -> Path | None:
        """Return the file that :meth:`open` would open or make, None where there is none.

        Example:
            ``Database.file(config.database.address, config.store.path)``
        """
        try:
            return _file_of(make_url(url)) if url else folder / FILE_NAME
        except ArgumentError:
            return None

    @property
    def is_sqlite(self) -> bool:
        """True for a file of SQLite, False for PostgreSQL."""
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction: committed at the end of the block, rolled back on an exception. A writer's from its
        start, so that what it reads stays true until it commits (SQLite); on PostgreSQL lock the rows that matter.
        What it announces is told of after the commit, and after a commit that failed: the server may have made it, and
        this process hears nothing of its own changes from there."""
        noted: list[Change] = []
        worked = False
        try:
            with self.engine.begin() as connection:
                noted = begin_noting(connection, self.process)
                yield connection
                worked = True
        except BaseException:
            for change in noted if worked else ():
                self.changes.tell(replace(change, own=False))
            raise
        for change in noted:
            self.changes.tell(change)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a transaction that only reads, and blocks no writer."""
        with self.engine.connect() as connection:
            if self.is_sqlite:
                connection = connection.execution_options(kvproxy_read_only=True)
            else:
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                yield connection

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, the feed of changes and the locks. Idempotent. A transaction that another thread has
        open goes on, and its connection is closed at its end: ``dispose`` leaves it to a pool that nobody empties."""
        self._closed = True
        self.changes.close()
        if self.locks is not None:
            self.locks.close()
        self.engine.dispose()

    def _end_if_closed(self, _connection: Any, record: ConnectionPoolEntry) -> None:
        if self._closed:
            record.invalidate()


def _file_of(url: URL) -> Path | None:
    in_memory = url.database in (None, "", ":memory:")
    return None if url.get_backend_name() != "sqlite" or in_memory else Path(str(url.database))


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # SQLAlchemy begins transactions itself, see _begin_immediate: sqlite3's own would begin late, and deferred.
    connection.isolation_level = None
    # FULL: a payment or a booking that was confirmed outlives a power cut too; PostgreSQL's default says the same.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    deferred = connection.get_execution_options().get("kvproxy_read_only", False)
    connection.exec_driver_sql("BEGIN" if deferred else "BEGIN IMMEDIATE")

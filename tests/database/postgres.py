"""Databases for tests: SQLite in a temporary folder, and Debian's PostgreSQL on loopback. Fixtures for all tests."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from kvproxy.bench.private_postgres import MISSING, PostgresServer, private_postgres, programs
from kvproxy.database.database import Database


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server in a temporary folder; stopped and removed at the end. Skips or fails where there is none."""
    if programs() is None:
        needed = os.environ.get("CI") == "true" or os.environ.get("KVPROXY_REQUIRE_POSTGRES") == "1"
        (pytest.fail if needed else pytest.skip)(MISSING)
    with private_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL of this session. Tests share its database: use ``new_schema`` for one of their own."""
    with postgres_server() as server:
        yield server.url


@contextmanager
def new_schema(url: str) -> Iterator[str]:
    """A URL whose connections use a new, empty schema; dropped at the end."""
    name = f"t{uuid.uuid4().hex[:12]}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        own = make_url(url).update_query_dict({"options": f"-csearch_path={name}"})
        yield own.render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    finally:
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | None]:
    """A ``database.url`` of an empty database on each kind; None is SQLite in ``tmp_path``."""
    if request.param == "sqlite":
        yield None
        return
    with new_schema(request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture
def a_database(database_url: str | None, tmp_path: Path) -> Iterator[Database]:
    """An open, empty database of each kind, without tables."""
    with Database.open(database_url, tmp_path) as database:
        yield database

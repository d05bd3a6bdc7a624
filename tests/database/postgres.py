"""Databases for tests: SQLite in a temporary folder, and Debian's PostgreSQL on loopback. Fixtures for all tests."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from kvproxy.database.database import Database

MISSING = "needs PostgreSQL's server programs: apt-get install postgresql"

_USER = "kvproxy"

_SETTINGS = {
    "fsync": "off",  # the machine's failure is no subject of these tests, the process's is
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "unix_socket_directories": "",
}


def programs() -> Path | None:
    """The folder of initdb and postgres, or None. Debian keeps them out of PATH, one folder for each version."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("postgres") is not None:
        return Path(found).parent
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3].split(".")[0])
    )
    return versions[-1].parent if versions else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _server_user() -> pwd.struct_passwd | None:
    """The user to become: PostgreSQL refuses to run as root. None where this process is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


class PostgresServer:
    """A PostgreSQL of one test session. ``stop`` and ``start`` may be called in between, for tests of its absence."""

    def __init__(self, bin: Path, folder: Path) -> None:
        self._bin = bin
        self._user = _server_user()
        self._data = folder / "data"
        self._log = folder / "log"
        self.port = free_port()
        self.url = f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/postgres"
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        # Connections from loopback are trusted: the server ends with the tests, and holds nothing else.
        self._run(
            "initdb", "-D", self._data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"
        )

    def start(self) -> None:
        options = " ".join(f"-c {name}='{value}'" for name, value in _SETTINGS.items())
        options += f" -c listen_addresses=127.0.0.1 -c port={self.port}"
        self._run("pg_ctl", "-D", self._data, "-l", self._log, "-w", "-t", "120", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", self._data, "-w", "-m", mode, "stop")

    def _run(self, program: str, *arguments: str | Path) -> None:
        user = self._user
        done = subprocess.run(
            [str(self._bin / program), *map(str, arguments)],
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server inherits it: a pipe would never end
            stderr=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            told = self._log.read_text(errors="replace")[-2000:] if self._log.exists() else "no log"
            raise RuntimeError(f"{program} failed with status {done.returncode}: {told}")


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server in a temporary folder; stopped and removed at the end. Skips or fails where there is none."""
    bin = programs()
    if bin is None:
        needed = os.environ.get("CI") == "true" or os.environ.get("KVPROXY_REQUIRE_POSTGRES") == "1"
        (pytest.fail if needed else pytest.skip)(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="kvproxy-postgres-"))
    try:
        server = PostgresServer(bin, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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

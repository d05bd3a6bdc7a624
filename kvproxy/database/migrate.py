"""`migrate`: bring a database's schema to this program's, one process at a time. Blocking, never on the loop."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from filelock import FileLock
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from kvproxy.database.database import Database
from kvproxy.errors import SetupError

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig

logger = logging.getLogger(__name__)

ADVISORY_LOCK = 0x6B767072
"""PostgreSQL's lock that one migration holds: a number of our own, the same for every process of a database."""


@dataclass(frozen=True, slots=True)
class MigrationResult:
    """The schema's revisions before and after, as a migration left it."""

    before: str | None
    """None: there was no schema."""
    after: str

    @property
    def changed(self) -> bool:
        """True when any revision was applied."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class SchemaState:
    """A database's revision beside the newest one that this program has."""

    current: str | None
    newest: str

    @property
    def up_to_date(self) -> bool:
        """True when there is nothing to apply."""
        return self.current == self.newest


def migrate(database: Database) -> MigrationResult:
    """Apply the revisions that the database lacks, all or none. Raises SetupError.

    Processes that start together wait for the first one, and find nothing left to do.
    """
    with _one_at_a_time(database), _named_errors(), database.transaction() as db:
        if not database.is_sqlite:
            # Held until the transaction ends. Two processes would create the same tables otherwise.
            db.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": ADVISORY_LOCK})
        before = _checked_state(db)
        if not before.up_to_date:
            # Only where there is something to do: its import is a tenth of the start of a proxy without an engine.
            from alembic import command

            config = migration_config()
            config.attributes["connection"] = db
            command.upgrade(config, "head")
            logger.info(
                "the database's schema went from %s to %s", before.current or "nothing", before.newest
            )
    return MigrationResult(before.current, before.newest)


def schema_state(database: Database) -> SchemaState:
    """Read a database's revision; changes nothing. Raises SetupError where it cannot be used by this program."""
    with _named_errors(), database.snapshot() as db:
        return _checked_state(db)


def migration_config() -> AlembicConfig:
    """Return alembic's configuration: the revisions of this package, and no ini file."""
    from alembic.config import Config as AlembicConfig

    config = AlembicConfig()
    config.set_main_option(
        "script_location", str(files("kvproxy.database") / "migrations").replace("%", "%%")
    )
    return config


def revisions() -> tuple[str, ...]:
    """Return the revisions of this package, the newest last: ``0008`` of ``revision_0008_several_proxies.py``."""
    folder = files("kvproxy.database") / "migrations" / "versions"
    names = [entry.name.split("_") for entry in folder.iterdir()]
    return tuple(sorted(parts[1] for parts in names if parts[0] == "revision"))


def _checked_state(db: Connection) -> SchemaState:
    """Read the state. Raises SetupError for a revision that this program does not have."""
    known = revisions()
    newest, current = known[-1], None
    if inspect(db).has_table("alembic_version"):
        current = db.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if current is not None and current not in known:
        raise SetupError(
            f"the database has schema {current}, and this kvproxy knows schemas up to {newest}: a newer version has "
            "written it. Install that version, or name another database in database.url"
        )
    return SchemaState(current, newest)


@contextmanager
def _one_at_a_time(database: Database) -> Iterator[None]:
    """Hold the lock of a file of SQLite. Its own lock would do, but gives up after a time limit."""
    file = database.url.database
    if not database.is_sqlite or file in (None, "", ":memory:"):
        yield
        return
    with FileLock(f"{file}.migrate.lock", mode=0o600):
        yield


@contextmanager
def _named_errors() -> Iterator[None]:
    """Raise SetupError for a database that cannot be reached, or refuses."""
    try:
        yield
    except DBAPIError as e:
        told = str(e.orig).strip().partition("\n")[0]
        raise SetupError(
            f"the database cannot be used: {told}; see database.url and that its server runs"
        ) from e

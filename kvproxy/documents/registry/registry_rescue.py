"""Checks the SQLite database before it is opened, and recovers the registry in it where only that is damaged.

A damaged file is never repaired: it is set aside whole, with a report of the losses. A new database takes its place: of
the registry the rows that can be verified, of all other tables every row, and only where SQLite and the ledger's own
check find nothing wrong with them. Else nothing is done, and the start ends: what cannot be proven is not guessed.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kvproxy.database.tables.document_tables import DOCUMENT_VERSIONS
from kvproxy.database.tables.usage_tables import DOCUMENT_DAYS, USAGE_DAYS, USAGE_WRITERS
from kvproxy.documents.registry.registry_losses import file_set_aside
from kvproxy.documents.registry.registry_rows import TABLES
from kvproxy.documents.registry.registry_salvage import SalvagedRegistry, salvage_registry
from kvproxy.errors import SetupError
from kvproxy.store.sqlite.sqlite_pages import Image, read_image, read_wal
from kvproxy.store.sqlite.sqlite_read_only import read_only

logger = logging.getLogger(__name__)

OtherFaults = Callable[[Path], Sequence[str]]
"""Returns the faults of what is beside the registry in the database of this file: of the ledger's chain and sums."""

_NAMES = {table.name for table in TABLES}
_FIGURES = {USAGE_DAYS.name, USAGE_WRITERS.name, DOCUMENT_DAYS.name}
"""Tables of mere figures: damaged ones are left empty, and keep nothing from starting."""
_DROP_ORPHANS = f"""
    DELETE FROM main.{DOCUMENT_DAYS.name} WHERE NOT EXISTS (
        SELECT 1 FROM main.{DOCUMENT_VERSIONS.name} AS v
        WHERE v.name = {DOCUMENT_DAYS.name}.name AND v.version = {DOCUMENT_DAYS.name}.version
    )
"""
_NOT_DAMAGE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_NOMEM", "SQLITE_CANTOPEN", "SQLITE_READONLY",
               "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_IOERR")  # fmt: skip
"""Beginnings of error names that are no evidence against the file itself."""


def make_database_sound(path: Path, others: OtherFaults) -> None:
    """Leave at ``path`` a database whose registry SQLite finds sound, or none. Blocking: reads all of the registry.

    Raises SetupError, with the database as it was, where damage is not the registry's alone.

    Example:
        ``make_database_sound(store / FILE_NAME, ledger_faults)``
    """
    try:
        _finish(path)
        if not path.exists():
            return
        wal = read_wal(path)
        if wal.fault is not None and not wal.hides_commits:
            aside = file_set_aside(path, [f"the last change is undone: {wal.fault}"])
            shutil.copy2(f"{path}-wal", aside)
            logger.error("database %s: the last change is undone: %s; see %s", path, wal.fault, aside)
        if wal.hides_commits:
            _rescue(path, str(wal.fault), others)
        elif path.stat().st_size and (faults := _structural_faults(path)):
            _rescue(path, faults[0], others)
        elif not path.stat().st_size and wal.frames:  # SQLite would remove the log of an empty file
            _rescue(path, "the file is empty", others)
        elif not path.stat().st_size:
            logger.warning(
                "database %s is an empty file, so nothing is known of before: restore it, or begin anew", path
            )
    except (OSError, sqlite3.Error) as e:
        raise SetupError(f"the database {path} cannot be used: {e}; see that this user can write it") from e


@dataclass(frozen=True, slots=True)
class DatabaseFaults:
    """The faults of a database file, each a line."""

    broken: tuple[str, ...] = ()
    """Faults that make rows unreadable, or hide commits from SQLite."""
    unfinished: str | None = None
    """A write that its process did not live to finish, at the end of the log. SQLite drops it, and every commit before
    it is there: what any kill of a writer may leave behind. Damage of the very last commit looks the same."""


def database_faults(path: Path) -> DatabaseFaults:
    """Return the faults that SQLite finds in the registry's tables of a database file. Changes nothing. Raises
    sqlite3.Error for a file that cannot be read for another reason.

    Example:
        ``database_faults(store / FILE_NAME).broken``
    """
    wal = read_wal(path)
    structural = _structural_faults(path) if path.stat().st_size else []
    if wal.fault is None or wal.hides_commits:
        return DatabaseFaults((*([wal.fault] if wal.fault else []), *structural))
    return DatabaseFaults(tuple(structural), wal.fault)


def _structural_faults(path: Path) -> list[str]:
    try:
        with closing(read_only(path)) as db:
            there = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            return [fault for name in sorted(there & _NAMES) for fault in _faults_of(db, name)]
    except (sqlite3.Error, UnicodeDecodeError) as e:
        if (getattr(e, "sqlite_errorname", None) or "").startswith(_NOT_DAMAGE):
            raise
        return [str(e)]


def _faults_of(db: sqlite3.Connection, table: str) -> Iterator[str]:
    try:
        for (line,) in db.execute(f"PRAGMA integrity_check({table})"):
            if line != "ok":
                yield f"{table}: {' '.join(str(line).split())}"
    except (sqlite3.DatabaseError, UnicodeDecodeError) as e:
        if (getattr(e, "sqlite_errorname", None) or "").startswith(_NOT_DAMAGE):
            raise
        yield f"{table}: {e}"


def _rescue(path: Path, why: str, others: OtherFaults) -> None:
    """Set a damaged database aside, and put one with the same content but for lost registry rows in its place."""
    why = " ".join(why.split())
    image = read_image(path)
    whole = _write_image(path, image)
    try:
        if beside := _faults_beside(whole, others):
            raise SetupError(
                f"the database {path} is damaged ({why}), and not in its documents alone ({beside[0]}): accounts and "
                "ledger are not guessed. Put a backup in its place, its -wal file removed; see docs/storage.md"
            )
        salvaged = salvage_registry(image)
        _write(path, whole, salvaged).replace(_recovered(path))
    finally:
        _drop(whole)
    _sync(path.parent)
    count = len(salvaged.versions)
    aside = file_set_aside(path, [why, f"{count} document versions were recovered", *salvaged.lost])
    _replace(path, aside)
    logger.error(
        "database %s is damaged (%s): %d document versions and all other tables recovered, the file set aside in %s",
        path, why, count, aside,
    )  # fmt: skip
    for line in salvaged.lost:
        logger.error("document registry: %s", line)


def _faults_beside(whole: Path, others: OtherFaults) -> list[str]:
    """Return the faults of all tables but the registry's, as far as SQLite and ``others`` find any."""
    try:
        with closing(sqlite3.connect(whole)) as db:
            names = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if not names >= _NAMES:
                return ["its schema is damaged"]
            found = [fault for name in sorted(names - _NAMES - _FIGURES) for fault in _faults_of(db, name)]
            if not found:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except (sqlite3.Error, UnicodeDecodeError) as e:
        return [str(e)]
    return found or list(others(whole))


def _write_image(path: Path, image: Image) -> Path:
    """Write the pages as of the last commit, as a database of its own."""
    whole = path.with_name(f"{path.name}.examined")
    _drop(whole)
    first = bytearray(image.pages[0]) if image.pages else bytearray()
    first[18:20] = b"\1\1"  # without a write-ahead log
    with open(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(first)
        for page in image.pages[1:]:
            file.write(page)
    return whole


def _write(path: Path, whole: Path, salvaged: SalvagedRegistry) -> Path:
    """Write the new database beside ``path``, under another name; it is on the medium on return."""
    part, anew = _recovered(path).with_suffix(".part"), _damaged_figures(whole)
    _drop(part)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(part, isolation_level=None)) as db:
        db.execute("ATTACH ? AS whole", (str(whole),))
        statements = db.execute(
            "SELECT name, type, sql FROM whole.sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC"
        ).fetchall()
        db.execute("BEGIN")
        for name, kind, sql in statements:
            db.execute(sql)
            if kind == "table" and name not in _NAMES | anew:
                db.execute(f'INSERT INTO main."{name}" SELECT * FROM whole."{name}"')
        for table in TABLES:
            marks = ", ".join("?" * len(table.columns))
            db.executemany(f"INSERT INTO main.{table.name} VALUES ({marks})", salvaged.rows[table.name])
        if any(name == DOCUMENT_DAYS.name for name, _, _ in statements):
            db.execute(_DROP_ORPHANS)
        db.execute("COMMIT")
    _sync(part)
    return part


def _damaged_figures(whole: Path) -> set[str]:
    """Return the tables of figures that begin anew. They are looked at before anything is written: an SQLite connection
    that meets damage within a transaction refuses every further write of it."""
    with closing(sqlite3.connect(whole)) as db:
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        found = {name: next(_faults_of(db, name), None) for name in sorted(names & _FIGURES)}
    for name, fault in found.items():
        if fault is not None:
            logger.warning("the figures of %s are damaged and begin anew: %s", name, fault)
    return {name for name, fault in found.items() if fault is not None}


def _replace(path: Path, aside: Path) -> None:
    """Put the recovered database in place. After a kill on the way, :func:`_finish` completes it."""
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(aside / file.name)
    _recovered(path).rename(path)
    _sync(path.parent)


def _finish(path: Path) -> None:
    """Complete a replacement that a kill interrupted."""
    _drop(_recovered(path).with_suffix(".part"))
    _drop(path.with_name(f"{path.name}.examined"))
    if _recovered(path).exists():
        _replace(path, file_set_aside(path, ["it was being replaced when the process ended"]))


def _recovered(path: Path) -> Path:
    return path.with_name(f"{path.name}.recovered")


def _drop(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

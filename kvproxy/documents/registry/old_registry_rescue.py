"""Checks a registry before it is opened, and replaces a damaged one with a database of its verified rows.

A damaged file is never repaired: it is set aside whole, in a folder beside the registry, with a report of the losses.
The rows that can be verified go into a new database that replaces it, and the start goes on with that.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from kvproxy.documents.registry import old_registry_rows as rows
from kvproxy.documents.registry.old_registry_rows import Row, Table
from kvproxy.documents.registry.old_registry_salvage import (
    RescuedRows,
    describe_loss,
    read_rows,
    salvage_rows,
)
from kvproxy.errors import SetupError
from kvproxy.store.sqlite.sqlite_pages import read_wal
from kvproxy.store.sqlite.sqlite_read_only import read_only

logger = logging.getLogger(__name__)

_REPORT = "report.txt"
_NOT_DAMAGE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_NOMEM", "SQLITE_CANTOPEN", "SQLITE_READONLY",
               "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_IOERR")  # fmt: skip
"""Beginnings of error names that are no evidence against the file itself."""


def make_sound(path: Path) -> None:
    """Leave at ``path`` a sound registry of this version, or none.

    Raises SetupError, OSError and, where the file is not at fault, sqlite3.Error.
    """
    _finish(path)
    if not path.exists():
        return
    wal = read_wal(path)
    if wal.hides_commits:
        _rescue(path, str(wal.fault))
        return
    if wal.fault is not None:
        copy = _aside(path, [f"the last transaction is undone: {wal.fault}"])
        shutil.copy2(f"{path}-wal", copy)
        logger.error("document registry %s: the last change is undone: %s; see %s", path, wal.fault, copy)
    if path.stat().st_size == 0:
        if wal.frames:  # SQLite would remove the log of an empty file
            _rescue(path, "the file is empty")
            return
        logger.warning(
            "document registry %s is an empty file, so no document is known; restore it or publish again",
            path,
        )
        return
    try:
        with closing(sqlite3.connect(path)) as db:
            version, faults = _examine(path, db)
            imported = version in (1, 2) and not faults
            old = read_rows(db, with_digests=version == 2) if imported else None
            if old is not None:
                # The log's content goes into the file, so that the log may be removed before the file is replaced.
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except (sqlite3.Error, UnicodeDecodeError) as e:
        if (getattr(e, "sqlite_errorname", None) or "").startswith(_NOT_DAMAGE):
            raise
        _rescue(path, str(e))
        return
    if faults or (old is not None and old.lost):
        _rescue(path, faults[0] if faults else f"{len(old.lost) if old else 0} rows fail")
    elif old is not None:
        _import(path, old)


def _import(path: Path, old: RescuedRows) -> None:
    """Replace a sound database of an older schema by one of this schema."""
    part = _write(path, old)
    for name in _files(path):
        if name != path:
            name.unlink()
    part.replace(path)
    _sync(path.parent)
    logger.info("document registry %s: written anew in schema %d, no row lost", path, rows.SCHEMA_VERSION)


def damage_reports(path: Path) -> list[str]:
    """Return the reports of the databases set aside, a line for each loss.

    Until such a folder is removed, pages that belong to no document are kept, because restoring the database would
    need them.
    """
    lines = []
    for folder in sorted(path.parent.glob(f"{path.name}.damaged-*")):
        try:
            report = (folder / _REPORT).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            report = ["its report cannot be read"]
        lines += [f"{folder.name}: {line}" for line in report]
    return lines


def faults(path: Path) -> list[str]:
    """Return every fault of a registry as a line of text, databases set aside included. Changes nothing."""
    found = damage_reports(path)
    if not path.exists():
        return found
    wal = read_wal(path)
    found += [] if wal.fault is None else [wal.fault]
    if path.stat().st_size == 0:
        return found
    try:
        with closing(read_only(path)) as db:
            found += _examine(path, db)[1]
    except (sqlite3.Error, UnicodeDecodeError, SetupError) as e:
        found.append(str(e))
    return found


def _examine(path: Path, db: sqlite3.Connection) -> tuple[int, list[str]]:
    """Return the schema's version, 0 for a database without tables, and all faults.

    Raises sqlite3.Error, and SetupError for a database that is not this project's, or newer.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    schema = {
        name: sql for name, sql in db.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    }
    wanted = rows.BEFORE_GRANTS if version == 2 else {t.name: t.sql for t in rows.TABLES}
    if not schema and version == 0:
        return 0, []
    if schema != wanted and version not in (1, 2, rows.SCHEMA_VERSION):
        raise SetupError(
            f"{path} was written by another version of kvproxy (schema {version}); use that version"
        )
    faults = [str(row[0]) for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
    if schema == wanted:
        faults += ["the schema's version is damaged"] if version not in (2, rows.SCHEMA_VERSION) else []
        for table in rows.TABLES:
            for row in db.execute(f"SELECT * FROM {table.name}"):
                reason = rows.row_fault(table, row)
                faults += [] if reason is None else [f"{rows.row_name(table, row)}: {reason}"]
        faults += [
            f"row {r[1]} of {r[0]} has no parent" for r in db.execute("PRAGMA foreign_key_check").fetchall()
        ]
        return version, faults
    names = {t.name for t in rows.TABLES}
    if version == 1 and {"ids", "versions", "kept"} <= set(schema) <= names:
        return 1, faults
    return version, [*faults, "the schema is damaged"]


def _rescue(path: Path, why: str) -> None:
    """Set a damaged database aside, and put its verified rows in its place. Logs a line for the file, and one for
    each named loss."""
    why = " ".join(why.split())
    rescued = salvage_rows(path)
    versions = rescued.found["versions"]
    for table in (rows.KEPT, rows.QUARANTINED, rows.PINNED):
        for key in {key[:2] for key in rescued.found[table.name]} - versions.keys():
            line = describe_loss(rows.VERSIONS, key, "")
            if not any(lost.startswith(line) for lost in rescued.lost):
                rescued.lost.append(f"{line}its text cannot be read")
    lost = sorted(set(rescued.lost))
    _write(path, rescued).replace(_recovered(path))
    _sync(path.parent)
    aside = _aside(path, [why, f"{len(versions)} document versions were recovered", *lost])
    _replace(path, aside)
    logger.error(
        "document registry %s is damaged (%s): %d document versions recovered, the file set aside in %s",
        path, why, len(versions), aside,
    )  # fmt: skip
    for line in lost:
        logger.error("document registry: %s", line)


def _write(path: Path, rescued: RescuedRows) -> Path:
    """Write a sound database beside ``path``, under another name; it is on the medium on return."""
    part = _recovered(path).with_suffix(".part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    versions = rescued.found["versions"]
    last = {key[0]: values[1] for key, values in rescued.found["ids"].items()}
    for id, version in versions:
        last[id] = max(version, last.get(id, 0))  # type: ignore[type-var]  # row_fault has seen to the types
    with closing(sqlite3.connect(part, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(rows.SCHEMA)
        db.execute("BEGIN")
        _insert(db, rows.IDS, last.items())
        _insert(db, rows.VERSIONS, versions.values())
        for table in (rows.KEPT, rows.QUARANTINED, rows.PINNED):
            _insert(db, table, (v for key, v in rescued.found[table.name].items() if key[:2] in versions))
        db.execute("COMMIT")
    _sync(part)
    return part


def _insert(db: sqlite3.Connection, table: Table, values: Iterable[Row]) -> None:
    db.executemany(table.insert, (rows.sealed(table, v) for v in values))


def _replace(path: Path, aside: Path) -> None:
    """Put the recovered database in place. After a kill on the way, :func:`_finish` completes it."""
    for name in _files(path):
        name.rename(aside / name.name)
    _recovered(path).rename(path)
    _sync(path.parent)


def _finish(path: Path) -> None:
    """Complete a replacement that a kill interrupted."""
    _recovered(path).with_suffix(".part").unlink(missing_ok=True)
    if _recovered(path).exists():
        _replace(path, _aside(path, ["it was being replaced when the process ended"]))


def _aside(path: Path, report: list[str]) -> Path:
    folder = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    folder.mkdir(mode=0o700)
    (folder / _REPORT).write_text("".join(f"{line}\n" for line in report), encoding="utf-8")
    return folder


def _files(path: Path) -> Iterator[Path]:
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            yield file


def _recovered(path: Path) -> Path:
    return path.with_name(f"{path.name}.recovered")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

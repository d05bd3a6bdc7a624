"""`import_old_registry`: moves the registry of a store's own file, as versions before 0.5 had it, into the database."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, insert, select
from sqlalchemy.exc import DBAPIError

from kvproxy.database.database import Database
from kvproxy.database.tables.document_tables import (
    DOCUMENT_PAGES,
    DOCUMENT_TEXTS,
    DOCUMENT_VERSIONS,
)
from kvproxy.documents.registry import old_registry_rows as old
from kvproxy.documents.registry.old_registry_rescue import make_sound
from kvproxy.documents.registry.old_registry_salvage import RescuedRows, read_rows
from kvproxy.documents.registry.registry_rows import row_name, sealed
from kvproxy.documents.registry.registry_writing import note_number
from kvproxy.errors import SetupError

logger = logging.getLogger(__name__)

OLD_NAME = "documents.sqlite3"
"""The name of the file in the store's folder."""


def import_old_registry(database: Database, folder: Path) -> None:
    """Move a store's old registry into a migrated database, once, then rename its file to ``….imported``.

    All rows arrive in one transaction, and what has arrived already is skipped: a process killed at any point loses
    nothing, and the next start goes on. A damaged file is rescued first, as it always was. Raises SetupError.

    Example:
        ``import_old_registry(database, config.store.path)``
    """
    path = folder / OLD_NAME
    try:
        make_sound(path)
        if not path.exists():
            return
        with closing(sqlite3.connect(path)) as db:
            rows = read_rows(db, with_digests=True)
            # The log's content goes into the file, which is then all that there is to rename.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with database.transaction() as connection:
            moved = _write(connection, rows)
        _rename(path)
    except (OSError, sqlite3.Error, DBAPIError) as e:
        raise SetupError(
            f"the document registry {path} cannot be moved into the database ({e}); nothing of it is lost: see that "
            "both can be written, or move the file away to start without its documents"
        ) from e
    logger.info("%d document versions were moved from %s into the database", moved, path)


def _write(db: Connection, rows: RescuedRows) -> int:
    """Write what the database does not have yet; return the number of versions written."""
    there = _there(db)
    found = rows.found
    for name, last in found[old.IDS.name].values():
        note_number(db, str(name), int(str(last)))
    quarantined = {key: str(row[2]) for key, row in found[old.QUARANTINED.name].items()}
    pinned = found[old.PINNED.name]
    versions, texts = [], []
    for key, row in found[old.VERSIONS.name].items():
        if there.get(key) == row[3]:
            continue
        version = dict(zip(old.VERSIONS.columns, row, strict=True))
        where = {"name": version.pop("id"), "version": version["version"]}
        if key in there:
            raise SetupError(
                f"the database has {row_name(DOCUMENT_VERSIONS, where)} already, with another text than {OLD_NAME}: "
                "give this proxy a database of its own in database.url"
            )
        texts.append({**where, "text": version.pop("text")})
        marks = {"pinned": int(key in pinned), "quarantined": quarantined.get(key), "revoked": None}
        versions.append({**where, **version, "origin": "published", "expires": None, **marks})
    pages = []
    for kept_key, row in found[old.KEPT.name].items():
        if kept_key[:2] not in there:
            kept = dict(zip(old.KEPT.columns, row, strict=True))
            pages.append({"name": kept.pop("id"), **kept})
    _insert(db, DOCUMENT_VERSIONS, versions)
    _insert(db, DOCUMENT_TEXTS, texts)
    _insert(db, DOCUMENT_PAGES, pages)
    return len(versions)


def _there(db: Connection) -> dict[tuple[Any, ...], str]:
    table = DOCUMENT_VERSIONS
    return {
        (name, version): etag
        for name, version, etag in db.execute(select(table.c.name, table.c.version, table.c.etag))
    }


def _insert(db: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        db.execute(insert(table), [row if table is DOCUMENT_TEXTS else sealed(table, row)])


def _rename(path: Path) -> None:
    target = path.with_name(f"{path.name}.imported")
    if target.exists():
        target = path.with_name(f"{target.name}-{time.time_ns()}")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.rename(target)
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""`OldRegistry`: writes ``documents.sqlite3`` as earlier versions did, schema 3."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from kvproxy.core import DocumentRef
from kvproxy.documents.library.document import Document
from kvproxy.documents.registry.old_registry_rows import (
    IDS,
    KEPT,
    PINNED,
    QUARANTINED,
    SCHEMA,
    VERSIONS,
    kept_row,
    sealed,
)
from kvproxy.documents.registry.registry_entry import KeptFraming


class OldRegistry:
    """A connection to the file, whose last changes stay in the write-ahead log until ``close``."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = OFF", "foreign_keys = ON", "secure_delete = ON"):
            self._db.execute(f"PRAGMA {pragma}")
        if self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            self._db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    def publish(self, document: Document, framings: Sequence[KeptFraming]) -> None:
        ref = document.ref
        version = (ref.name, document.version, document.text.encode(), document.etag, document.visibility)
        with self._db:
            self._db.execute("BEGIN")
            self._db.execute(
                f"{IDS.insert} ON CONFLICT DO NOTHING", sealed(IDS, (ref.name, document.version))
            )
            self._db.execute(
                "UPDATE ids SET last_version = ?2, digest = ?3 WHERE id = ?1",
                sealed(IDS, (ref.name, document.version)),
            )
            row = sealed(VERSIONS, (*version, document.owner_scope, document.created))
            self._db.execute(VERSIONS.insert, row)
            for framing in framings:
                self._db.execute(KEPT.insert, sealed(KEPT, kept_row(ref, framing.framing, framing.kept)))

    def number(self, name: str, last: int) -> None:
        """Note the highest number of a name that was ever used."""
        self._db.execute(IDS.insert.replace("INSERT", "INSERT OR REPLACE"), sealed(IDS, (name, last)))

    def quarantine(self, ref: DocumentRef, note: str) -> None:
        self._db.execute(QUARANTINED.insert, sealed(QUARANTINED, (ref.name, ref.version, note)))

    def pin(self, ref: DocumentRef) -> None:
        self._db.execute(PINNED.insert, sealed(PINNED, (ref.name, ref.version)))

    def delete(self, ref: DocumentRef) -> None:
        self._db.execute("DELETE FROM versions WHERE id = ? AND version = ?", (ref.name, ref.version))

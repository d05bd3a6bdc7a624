"""Published documents on disk: texts, versions, and which pages were kept of them. SQLite, no pickles.

A version is written in one transaction, after its pages: a process killed earlier leaves no trace here, and
its pages belong to nobody (``page_keys`` tells the store which do).
"""

from __future__ import annotations

import sqlite3
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvproxy.core import PUBLIC, DocumentRef, Kept, KeptPage, documents_scope, stored_key
from kvproxy.documents.document import Document, etag_of
from kvproxy.errors import SetupError, StorageFull

_SCHEMA_VERSION = 2
"""In version 1 private documents had no owner in their ``id``."""
_PAGE = struct.Struct("<32sI")
# `ids` outlives its versions, so that a deleted handbook@3 never comes back with another text.
_SCHEMA = """
CREATE TABLE ids (id TEXT PRIMARY KEY, last_version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE versions (
    id TEXT NOT NULL REFERENCES ids (id),
    version INTEGER NOT NULL CHECK (version > 0),
    text BLOB NOT NULL,
    etag TEXT NOT NULL,
    visibility TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
    owner_scope TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (id, version)
);
CREATE TABLE kept (
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    framing TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    token_ids BLOB NOT NULL,
    pages BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    prefill_s REAL NOT NULL,
    PRIMARY KEY (id, version, framing),
    FOREIGN KEY (id, version) REFERENCES versions (id, version) ON DELETE CASCADE
);
"""
# Made in databases of before it, too: a version of kvproxy that does not know it loses nothing by it.
_QUARANTINED = """
CREATE TABLE IF NOT EXISTS quarantined (
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (id, version),
    FOREIGN KEY (id, version) REFERENCES versions (id, version) ON DELETE CASCADE
);
"""
_PINNED = """
CREATE TABLE IF NOT EXISTS pinned (
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (id, version),
    FOREIGN KEY (id, version) REFERENCES versions (id, version) ON DELETE CASCADE
);
"""


@dataclass(frozen=True, slots=True)
class KeptFraming:
    """What was kept of a document version under one framing."""

    framing: str
    kept: Kept


@dataclass(frozen=True, slots=True)
class Entry:
    """One document version and all that was kept of it."""

    document: Document
    framings: tuple[KeptFraming, ...]
    quarantined: str | None = None
    """Why its pages are not used; None while they are."""
    pinned: bool = False
    """Its pages are to stay in memory."""


class Registry:
    """Blocking; safe from several threads, one at a time. Owns its connection until ``close``."""

    def __init__(self, path: Path) -> None:
        """Open or create the database file. Raises SetupError when it cannot be used."""
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            # FULL: what was answered as published survives a power cut.
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._create(path)
            self._name_private()
        except (OSError, sqlite3.Error) as e:
            raise SetupError(
                f"the document registry {path} cannot be used ({e}); move it away to start without documents"
            ) from e

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def limit_pages(self, pages: int) -> None:
        """Let the database grow to ``pages`` of 4 KiB and no further."""
        with self._lock:
            self._db.execute(f"PRAGMA max_page_count = {int(pages)}")

    def publish(
        self,
        document: Document,
        framings: Sequence[KeptFraming],
        *,
        pinned: bool = False,
        unpinned: DocumentRef | None = None,
    ) -> None:
        """Make a version exist, with its pages, and ``pinned`` in the place of ``unpinned``; durable on return. Raises
        StorageFull, nothing changed."""
        with self._transaction() as db:
            _note_number(db, document.ref.name, document.version)
            db.execute(
                "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    document.ref.name,
                    document.version,
                    document.text.encode("utf-8"),
                    document.etag,
                    document.visibility,
                    document.owner_scope,
                    document.created,
                ),
            )
            for framing in framings:
                _insert_kept(db, document.ref, framing)
            if unpinned is not None:
                _pin(db, unpinned, False)
            _pin(db, document.ref, pinned)

    def replace_kept(self, ref: DocumentRef, framings: Sequence[KeptFraming]) -> None:
        """Write down what is kept now of a version, instead of what was. Raises StorageFull."""
        with self._transaction() as db:
            db.execute("DELETE FROM kept WHERE id = ? AND version = ?", (ref.name, ref.version))
            for framing in framings:
                _insert_kept(db, ref, framing)

    def quarantine(self, ref: DocumentRef, note: str | None) -> None:
        """Write down that the kept pages of a version are not to be used, and why; None lifts that."""
        with self._transaction() as db:
            db.execute("DELETE FROM quarantined WHERE id = ? AND version = ?", (ref.name, ref.version))
            if note is not None:
                db.execute("INSERT INTO quarantined VALUES (?, ?, ?)", (ref.name, ref.version, note))

    def quarantine_all(self, notes: Mapping[DocumentRef, str]) -> None:
        """Write down several notes, all or none; durable on return. A version that is gone is no error."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO quarantined SELECT id, version, ? FROM versions WHERE id = ? AND version = ?",
                [(note, ref.name, ref.version) for ref, note in notes.items()],
            )

    def pin(self, ref: DocumentRef, pinned: bool) -> None:
        """Write down whether the pages of a version are to stay in memory."""
        with self._transaction() as db:
            _pin(db, ref, pinned)

    def delete(self, refs: Sequence[DocumentRef]) -> None:
        """Make versions not exist, all or none. Their numbers are never used again."""
        with self._transaction() as db:
            db.executemany(
                "DELETE FROM versions WHERE id = ? AND version = ?", [(r.name, r.version) for r in refs]
            )

    def last_version(self, document_id: str, owner_scope: str | None = None) -> int:
        """The highest version number ever used for this id, by anybody's public versions or this owner's private ones,
        deleted ones included; 0 for a new id."""
        names = (document_id, DocumentRef(document_id, owner=owner_scope).name)
        ((last,),) = self._rows("SELECT max(last_version) FROM ids WHERE id IN (?, ?)", names)
        return int(last or 0)

    def load(self) -> list[Entry]:
        """All versions, by id and then by version."""
        kept: dict[tuple[str, int], list[KeptFraming]] = {}
        for name, version, framing, *columns in self._rows("SELECT * FROM kept ORDER BY framing"):
            kept.setdefault((name, version), []).append(KeptFraming(framing, _kept(columns)))
        notes = {(row[0], row[1]): row[2] for row in self._rows("SELECT * FROM quarantined")}
        pinned = {(row[0], row[1]) for row in self._rows("SELECT * FROM pinned")}
        entries = [
            Entry(
                _document(row),
                tuple(kept.get((row[0], row[1]), ())),
                notes.get((row[0], row[1])),
                (row[0], row[1]) in pinned,
            )
            for row in self._rows("SELECT * FROM versions")
        ]
        return sorted(entries, key=lambda e: (e.document.id, e.document.version, e.document.ref.name))

    def page_keys(self) -> frozenset[bytes]:
        """Keys in the page store of all pages that belong to a document."""
        return frozenset(
            stored_key(page.key, PUBLIC if visibility == "public" else documents_scope(owner))
            for visibility, owner, blob in self._rows(
                "SELECT visibility, owner_scope, pages FROM kept JOIN versions USING (id, version)"
            )
            for page in _parse_pages(blob)
        )

    def check(self) -> list[str]:
        """Every fault in words; empty when sound."""
        faults = [f"registry: {row[0]}" for row in self._rows("PRAGMA integrity_check") if row[0] != "ok"]
        faults += [
            f"registry: row {row[1]} of {row[0]} has no parent"
            for row in self._rows("PRAGMA foreign_key_check")
        ]
        for name, version, text, etag in self._rows("SELECT id, version, text, etag FROM versions"):
            if etag_of(bytes(text).decode("utf-8", "replace")) != etag:
                faults.append(f"{_shown(name)}@{version}: the text does not match its ETag")
            if self._rows("SELECT 1 FROM ids WHERE id = ? AND last_version < ?", (name, version)):
                faults.append(f"{_shown(name)}@{version}: newer than the last version of its id")
        for name, version, framing, tokens, pages in self._rows(
            "SELECT id, version, framing, token_ids, pages FROM kept"
        ):
            where = f"{_shown(name)}@{version} ({framing})"
            if len(tokens) % 4 or len(pages) % _PAGE.size:
                faults.append(f"{where}: tokens or pages are cut off")
            elif sum(page.tokens for page in _parse_pages(pages)) > len(tokens) // 4:
                faults.append(f"{where}: its pages hold more tokens than it has")
        return faults

    def _create(self, path: Path) -> None:
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found not in (0, 1, _SCHEMA_VERSION):
            raise SetupError(f"{path} was written by another version of kvproxy (schema {found})")
        if found == 0:
            self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
        self._db.executescript(f"{_QUARANTINED} {_PINNED} PRAGMA user_version = {_SCHEMA_VERSION};")

    def _name_private(self) -> None:
        """Private versions that lie under the public id, as they did once, are put under their owner's: through what
        reads and writes rows anyway, one after the other, so that whatever interrupts it is made good by the next."""
        sql = "SELECT id, version FROM versions WHERE instr(id, char(10)) = 0 AND visibility = 'private'"
        old = {(name, version) for name, version in self._rows(sql)}
        for entry in [e for e in self.load() if (e.document.id, e.document.version) in old] if old else ():
            document = entry.document
            at = (document.id, document.version)
            ((last,),) = self._rows("SELECT last_version FROM ids WHERE id = ?", at[:1])
            if not self._rows("SELECT 1 FROM versions WHERE (id, version) = (?, ?)", (document.ref.name, at[1])):
                self.publish(document, entry.framings, pinned=entry.pinned)
            if entry.quarantined is not None:
                self.quarantine(document.ref, entry.quarantined)
            with self._transaction() as db:
                _note_number(db, document.ref.name, last)  # also of versions that were deleted
                db.execute("DELETE FROM versions WHERE (id, version) = (?, ?)", at)
                # The number alone would tell that somebody has it.
                unused = "NOT EXISTS (SELECT 1 FROM versions WHERE id = ids.id)"
                db.execute(f"DELETE FROM ids WHERE id = ? AND {unused}", at[:1])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as e:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(e, sqlite3.OperationalError) and "full" in str(e):
                    raise StorageFull(f"The document registry cannot grow: {e}.", retry_after_s=60) from e
                raise

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()


def _note_number(db: sqlite3.Connection, name: str, version: int) -> None:
    db.execute(
        "INSERT INTO ids VALUES (?, ?) ON CONFLICT (id) DO UPDATE "
        "SET last_version = max(last_version, excluded.last_version)",
        (name, version),
    )


def _pin(db: sqlite3.Connection, ref: DocumentRef, pinned: bool) -> None:
    db.execute("DELETE FROM pinned WHERE id = ? AND version = ?", (ref.name, ref.version))
    if pinned:
        db.execute("INSERT INTO pinned VALUES (?, ?)", (ref.name, ref.version))


def _insert_kept(db: sqlite3.Connection, ref: DocumentRef, framing: KeptFraming) -> None:
    kept = framing.kept
    db.execute(
        "INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            ref.name,
            ref.version,
            framing.framing,
            kept.fingerprint,
            struct.pack(f"<{len(kept.token_ids)}I", *kept.token_ids),
            b"".join(_PAGE.pack(page.key, page.tokens) for page in kept.pages),
            kept.bytes,
            kept.prefill_s,
        ),
    )


def _kept(columns: list[Any]) -> Kept:
    fingerprint, tokens, pages, size, prefill_s = columns
    token_ids = struct.unpack(f"<{len(tokens) // 4}I", tokens)
    return Kept(fingerprint, token_ids, _parse_pages(pages), size, prefill_s)


def _parse_pages(blob: bytes) -> tuple[KeptPage, ...]:
    return tuple(KeptPage(key, tokens) for key, tokens in _PAGE.iter_unpack(blob))


def _shown(name: str) -> str:
    """The id in the name that a row lies under."""
    return name.partition("\n")[0]


def _document(row: tuple[Any, ...]) -> Document:
    name, version, text, etag, visibility, owner_scope, created = row
    return Document(_shown(name), version, bytes(text).decode("utf-8"), etag, visibility, owner_scope, created)

"""`Registry`: published documents on disk, with their texts, versions and kept pages. SQLite, no pickles.

A version is written in one transaction, after its pages: a process killed earlier leaves no trace here, and its pages
have no owner (``page_owners`` gives the store those that have one).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvproxy.core import GRANTED, DocumentRef, Kept, Visibility, stored_key
from kvproxy.documents.library import registry_rescue
from kvproxy.documents.library.document import Document, pages_scope
from kvproxy.documents.library.registry_rows import (
    IDS,
    KEPT,
    PINNED,
    QUARANTINED,
    SCHEMA,
    VERSIONS,
    id_of,
    kept_row,
    parse_document,
    parse_kept,
    parse_pages,
    sealed,
)
from kvproxy.errors import SetupError, StorageFull, Unavailable


@dataclass(frozen=True, slots=True)
class KeptFraming:
    """The kept pages of a document version under one framing."""

    framing: str
    kept: Kept


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """One document version with all of its kept pages."""

    document: Document
    framings: tuple[KeptFraming, ...]
    quarantined: str | None = None
    """The reason that its pages are not used; None while they are."""
    pinned: bool = False
    """True when its pages are to stay in memory."""


class Registry:
    """The database of published documents. Owns its connection until ``close``.

    Blocking; safe from several threads, one at a time.

    Example:
        ``with Registry(folder / "documents.sqlite3") as registry: entries = registry.load()``
    """

    def __init__(self, path: Path) -> None:
        """Open or create the database file. ``registry_rescue`` handles damage, and every row that is left is as
        written.

        Raises SetupError when the file cannot be used.
        """
        self._lock = threading.Lock()
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            registry_rescue.make_sound(path)
            # Texts are private data, also where others can read the folder; the log takes over the file's mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            path.chmod(0o600)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            # FULL: an answered publish survives a power cut.
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            # A deleted row stays readable nowhere in the file, neither for other users nor for a rescue.
            self._db.execute("PRAGMA secure_delete = ON")
            if self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
                self._db.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as e:
            raise SetupError(
                f"the document registry {path} cannot be used ({e}); move it away to start without documents"
            ) from e

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Idempotent."""
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
        """Add a version with its pages, and move a pin from ``unpinned`` to it if ``pinned``; durable on return.

        Raises StorageFull, nothing changed.

        Example:
            ``registry.publish(document, framings, pinned=True, unpinned=DocumentRef("handbook", 2))``
        """
        with self._transaction() as db:
            _note_number(db, document.ref.name, document.version)
            if document.visibility == "granted":
                # A private version of this publisher may not come back under a granted one's number either.
                _note_number(db, DocumentRef(document.id, owner=document.owner_scope).name, document.version)
            version = (
                document.ref.name,
                document.version,
                document.text.encode("utf-8"),
                document.etag,
                document.visibility,
                document.owner_scope,
                document.created,
            )
            db.execute(VERSIONS.insert, sealed(VERSIONS, version))
            for framing in framings:
                _insert_kept(db, document.ref, framing)
            if unpinned is not None:
                _pin(db, unpinned, False)
            _pin(db, document.ref, pinned)

    def replace_kept(self, ref: DocumentRef, framings: Sequence[KeptFraming]) -> None:
        """Replace the record of a version's kept pages. Raises StorageFull."""
        with self._transaction() as db:
            db.execute("DELETE FROM kept WHERE id = ? AND version = ?", (ref.name, ref.version))
            for framing in framings:
                _insert_kept(db, ref, framing)

    def quarantine(self, ref: DocumentRef, note: str | None) -> None:
        """Record that the kept pages of a version are not to be used, with the reason; None ends that."""
        with self._transaction() as db:
            db.execute("DELETE FROM quarantined WHERE id = ? AND version = ?", (ref.name, ref.version))
            if note is not None:
                db.execute(QUARANTINED.insert, sealed(QUARANTINED, (ref.name, ref.version, note)))

    def quarantine_all(self, notes: Mapping[DocumentRef, str]) -> None:
        """Record several quarantine notes, all or none; durable on return. A version that no longer exists is no
        error."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO quarantined SELECT ?1, ?2, ?3, ?4 "
                "WHERE EXISTS (SELECT 1 FROM versions WHERE id = ?1 AND version = ?2)",
                [sealed(QUARANTINED, (ref.name, ref.version, note)) for ref, note in notes.items()],
            )

    def pin(self, ref: DocumentRef, pinned: bool) -> None:
        """Record whether the pages of a version are to stay in memory."""
        with self._transaction() as db:
            _pin(db, ref, pinned)

    def delete(self, refs: Sequence[DocumentRef]) -> None:
        """Delete versions, all or none. Their numbers are never used again."""
        with self._transaction() as db:
            db.executemany(
                "DELETE FROM versions WHERE id = ? AND version = ?", [(r.name, r.version) for r in refs]
            )

    def last_version(
        self, document_id: str, owner_scope: str | None = None, visibility: Visibility = "public"
    ) -> int:
        """Return the highest version number ever used for this id, deleted versions included; 0 for a new id.

        Public versions of any publisher count, private and granted ones of this owner, and those granted by others
        only for a version that is to be public or granted: a private version's number tells nothing of them.

        Example:
            ``number = registry.last_version("handbook", caller.scope, "private") + 1``
        """
        owners = [None, owner_scope, *([] if visibility == "private" else [GRANTED])]
        names = tuple({DocumentRef(document_id, owner=owner).name for owner in owners})
        marks = ", ".join("?" * len(names))
        ((last,),) = self._rows(f"SELECT max(last_version) FROM ids WHERE id IN ({marks})", names)
        return int(last or 0)

    def load(self) -> list[RegistryEntry]:
        """Read all versions, by id and then by version."""
        kept: dict[tuple[str, int], list[KeptFraming]] = {}
        for name, version, framing, *columns, _ in self._rows("SELECT * FROM kept ORDER BY framing"):
            kept.setdefault((name, version), []).append(KeptFraming(framing, parse_kept(columns)))
        notes = {(row[0], row[1]): row[2] for row in self._rows("SELECT * FROM quarantined")}
        pinned = {(row[0], row[1]) for row in self._rows("SELECT * FROM pinned")}
        entries = [
            RegistryEntry(
                parse_document(row),
                tuple(kept.get((row[0], row[1]), ())),
                notes.get((row[0], row[1])),
                (row[0], row[1]) in pinned,
            )
            for row in self._rows("SELECT * FROM versions")
        ]
        return sorted(entries, key=lambda e: (e.document.id, e.document.version, e.document.ref.name))

    def page_keys(self) -> frozenset[bytes]:
        """Return the keys in the page store of all pages that belong to a document."""
        return frozenset(self.page_owners())

    def page_owners(self) -> dict[bytes, str]:
        """Return, for each page that belongs to a document, the scope of its oldest publisher, by its key in the
        page store."""
        owners: dict[bytes, str] = {}
        for name, version, visibility, owner, blob in self._rows(
            "SELECT id, version, visibility, owner_scope, pages "
            "FROM versions JOIN kept USING (id, version) ORDER BY versions.rowid"
        ):
            scope = pages_scope(id_of(name), version, visibility, owner)
            for page in parse_pages(blob):
                owners.setdefault(stored_key(page.key, scope), owner)
        return owners

    def damage_reports(self) -> list[str]:
        """Return a line for each loss of the damaged databases that lie beside this one."""
        return registry_rescue.damage_reports(self.path)

    def check(self) -> list[str]:
        """Return every fault as a line of text; empty when sound. A database set aside is one, until its folder is
        removed."""
        faults = [f"registry: {fault}" for fault in registry_rescue.faults(self.path)]
        for name, version in self._rows("SELECT id, version FROM versions"):
            if self._rows("SELECT 1 FROM ids WHERE id = ? AND last_version < ?", (name, version)):
                faults.append(f"{id_of(name)}@{version}: newer than the last version of its id")
        for name, version, framing, tokens, pages in self._rows(
            "SELECT id, version, framing, token_ids, pages FROM kept"
        ):
            where = f"{id_of(name)}@{version} ({framing})"
            if sum(page.tokens for page in parse_pages(pages)) > len(tokens) // 4:
                faults.append(f"{where}: its pages hold more tokens than it has")
        return faults

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
                if isinstance(e, sqlite3.DatabaseError) and not isinstance(e, sqlite3.IntegrityError):
                    raise _failed(e) from e
                raise

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.DatabaseError as e:
                raise _failed(e) from e


def _failed(error: sqlite3.Error) -> Unavailable:
    return Unavailable(f"The document registry cannot be used: {error}.", retry_after_s=60)


def _note_number(db: sqlite3.Connection, name: str, version: int) -> None:
    (last,) = db.execute("SELECT max(last_version) FROM ids WHERE id = ?", (name,)).fetchone()
    db.execute(
        f"{IDS.insert} ON CONFLICT (id) DO UPDATE "
        "SET last_version = excluded.last_version, digest = excluded.digest",
        sealed(IDS, (name, max(version, last or 0))),
    )


def _pin(db: sqlite3.Connection, ref: DocumentRef, pinned: bool) -> None:
    db.execute("DELETE FROM pinned WHERE id = ? AND version = ?", (ref.name, ref.version))
    if pinned:
        db.execute(PINNED.insert, sealed(PINNED, (ref.name, ref.version)))


def _insert_kept(db: sqlite3.Connection, ref: DocumentRef, framing: KeptFraming) -> None:
    db.execute(KEPT.insert, sealed(KEPT, kept_row(ref, framing.framing, framing.kept)))

"""`Registry`: published documents in the database, with their texts, versions, kept pages, aliases and manifests.

A version is written in one transaction, after its pages: a process killed earlier leaves no trace here, and its pages
have no owner (``page_owners`` gives the store those that have one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, delete, func, insert, select

from kvproxy.core import GRANTED, DocumentRef, Visibility, stored_key
from kvproxy.database.database import Database
from kvproxy.database.tables.document_tables import (
    DOCUMENT_ALIASES,
    DOCUMENT_MANIFESTS,
    DOCUMENT_PAGES,
    DOCUMENT_READS,
    DOCUMENT_TEXTS,
    DOCUMENT_VERSIONS,
    DOCUMENTS,
)
from kvproxy.documents.library.document import Document, pages_scope
from kvproxy.documents.registry import registry_losses
from kvproxy.documents.registry.registry_entry import DocumentAlias, KeptFraming, RecordedReads, RegistryEntry
from kvproxy.documents.registry.registry_faults import named_errors, registry_faults
from kvproxy.documents.registry.registry_reading import lost_marks, read_verified, rows_of
from kvproxy.documents.registry.registry_rows import (
    document_rows,
    id_of,
    pages_row,
    parse_pages,
    row_fault,
)
from kvproxy.documents.registry.registry_writing import (
    change_version,
    check_number,
    delete_rows,
    note_number,
    of_version,
    put_row,
)
from kvproxy.errors import Unavailable

T = TypeVar("T")


class Registry:
    """The published documents of a database, which its owner closes. Blocking; safe from several threads.

    A row that fails its digest is lost, never served: ``load`` sets it aside and reports it.

    Example:
        ``entries = open_registry(database, config.store.path).load()``
    """

    def __init__(self, database: Database, folder: Path) -> None:
        """Take a migrated database. ``folder``: the store's, where damaged rows are set aside; see
        :func:`~kvproxy.documents.registry.open_registry.open_registry`."""
        self._database = database
        self.folder = folder

    def publish(
        self,
        document: Document,
        framings: Sequence[KeptFraming],
        *,
        pinned: bool = False,
        unpinned: DocumentRef | None = None,
    ) -> None:
        """Add a version with its pages, and move a pin from ``unpinned`` to it if ``pinned``; durable on return.

        Raises StorageFull, and Unavailable where another process has just published this version; nothing changed.

        Example:
            ``registry.publish(document, framings, pinned=True, unpinned=DocumentRef("handbook", 2))``
        """
        with self._transaction() as db:
            note_number(db, document.ref.name, document.version)
            if document.visibility == "granted":
                # A private version of this publisher may not come back under a granted one's number either.
                private = DocumentRef(document.id, owner=document.owner_scope)
                note_number(db, private.name, document.version)
            version, text = document_rows(document, pinned=pinned)
            db.execute(insert(DOCUMENT_VERSIONS), [version])
            db.execute(insert(DOCUMENT_TEXTS), [text])
            _insert_pages(db, document.ref, framings)
            if unpinned is not None:
                change_version(db, unpinned, pinned=0)

    def replace_kept(self, ref: DocumentRef, framings: Sequence[KeptFraming]) -> None:
        """Replace the record of a version's kept pages. Raises StorageFull."""
        with self._transaction() as db:
            db.execute(delete(DOCUMENT_PAGES).where(*of_version(DOCUMENT_PAGES, ref)))
            _insert_pages(db, ref, framings)

    def quarantine(self, ref: DocumentRef, note: str | None) -> None:
        """Record that the kept pages of a version are not to be used, with the reason; None ends that."""
        with self._transaction() as db:
            change_version(db, ref, quarantined=note)

    def quarantine_all(self, notes: Mapping[DocumentRef, str]) -> None:
        """Record several quarantine notes, all or none; durable on return. A version that no longer exists is no
        error."""
        with self._transaction() as db:
            for ref, note in notes.items():
                change_version(db, ref, quarantined=note)

    def pin(self, ref: DocumentRef, pinned: bool) -> None:
        """Record whether the pages of a version are to stay in memory."""
        with self._transaction() as db:
            change_version(db, ref, pinned=int(pinned))

    def revoke(self, ref: DocumentRef, note: str) -> None:
        """Record that a version is never served again, with the reason; durable on return. Its pages
        are not its own any more; its text stays until ``delete``, its number after it. A version that no longer exists
        is no error.

        Example:
            ``registry.revoke(DocumentRef("handbook", 3), "withdrawn by legal")``
        """
        with self._transaction() as db:
            if change_version(db, ref, revoked=note, pinned=0):
                db.execute(delete(DOCUMENT_PAGES).where(*of_version(DOCUMENT_PAGES, ref)))

    def touch(self, ref: DocumentRef, expires: int | None) -> None:
        """Record the Unix second from which a version is not served any more; None: never."""
        with self._transaction() as db:
            change_version(db, ref, expires=expires)

    def set_alias(self, name: str, alias: str, version: int | None) -> None:
        """Let ``alias`` of the documents of ``name`` (``DocumentRef.name``) mean this version; None removes it.

        Example:
            ``registry.set_alias("handbook", "stable", 3)``
        """
        with self._transaction() as db:
            if version is None:
                db.execute(delete(DOCUMENT_ALIASES).filter_by(name=name, alias=alias))
            else:
                put_row(db, DOCUMENT_ALIASES, {"name": name, "alias": alias, "version": version})

    def aliases(self) -> list[DocumentAlias]:
        """Return all aliases, by document name and alias. Damaged ones are left out."""
        with self._snapshot() as db:
            rows = [row for row in rows_of(db, DOCUMENT_ALIASES) if row_fault(DOCUMENT_ALIASES, row) is None]
        return [DocumentAlias(row["name"], row["alias"], row["version"]) for row in rows]

    def put_manifest(self, ref: DocumentRef, jws: str) -> None:
        """Keep a version's signed manifest in the place of an earlier one. A version that no longer exists is no
        error."""
        with self._transaction() as db:
            if change_version(db, ref):
                row = {"name": ref.name, "version": ref.version, "jws": jws}
                put_row(db, DOCUMENT_MANIFESTS, row)

    def manifest(self, ref: DocumentRef) -> str | None:
        """Return a version's signed manifest; None where there is none, or a damaged one."""
        with self._snapshot() as db:
            statement = select(DOCUMENT_MANIFESTS).where(*of_version(DOCUMENT_MANIFESTS, ref))
            row = db.execute(statement).mappings().one_or_none()
        return str(row["jws"]) if row is not None and row_fault(DOCUMENT_MANIFESTS, row) is None else None

    def note_reads(self, reads: Mapping[DocumentRef, RecordedReads]) -> None:
        """Record the reads of versions, each in the place of its earlier count. A version that no longer exists is no
        error.

        Example:
            ``registry.note_reads({DocumentRef("handbook", 3): RecordedReads(120, 1_790_000_000, 450_000)})``
        """
        with self._transaction() as db:
            for ref, count in reads.items():
                if change_version(db, ref):
                    row = {"name": ref.name, "version": ref.version}
                    put_row(db, DOCUMENT_READS, {**row, **asdict(count)})

    def reads(self) -> dict[tuple[str, int], RecordedReads]:
        """Return the recorded reads by ``DocumentRef.name`` and version. Damaged rows are left out."""
        with self._snapshot() as db:
            rows = [row for row in rows_of(db, DOCUMENT_READS) if row_fault(DOCUMENT_READS, row) is None]
        return {
            (row["name"], row["version"]): RecordedReads(row["reads"], row["last_read"], row["saved_tokens"])
            for row in rows
        }

    def delete(self, refs: Sequence[DocumentRef]) -> None:
        """Delete versions, all or none. Their numbers are never used again."""
        with self._transaction() as db:
            for ref in refs:
                db.execute(delete(DOCUMENT_VERSIONS).where(*of_version(DOCUMENT_VERSIONS, ref)))

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
        names = {DocumentRef(document_id, owner=owner).name for owner in owners}
        with self._snapshot() as db:
            last = select(func.max(DOCUMENTS.c.last_version)).where(DOCUMENTS.c.name.in_(names))
            return int(db.execute(last).scalar() or 0)

    def load(self) -> list[RegistryEntry]:
        """Read and verify all versions, by id and then by version. Damaged rows are set aside, reported, and deleted.

        Seconds for a large library: not on the event loop.
        """
        with self._snapshot() as db:
            found = read_verified(db)
            found.lost += [*check_number(db), *lost_marks(db)]
        if found.lost:
            try:
                registry_losses.set_rows_aside(self.folder, found.lost)
            except OSError as e:
                raise Unavailable(f"Damaged rows of the registry cannot be set aside: {e}.") from e
            with self._transaction() as db:
                delete_rows(db, found.lost)
        return found.entries

    def page_keys(self) -> frozenset[bytes]:
        """Return the keys in the page store of all pages that belong to a document."""
        return frozenset(self.page_owners())

    def page_owners(self) -> dict[bytes, str]:
        """Return, for each page that belongs to a document, the scope of its oldest publisher, by its key in the
        page store. Rows are not verified: a page too many is kept, and none is read by this."""
        versions, pages = DOCUMENT_VERSIONS, DOCUMENT_PAGES
        of_both = (versions.c.name == pages.c.name) & (versions.c.version == pages.c.version)
        statement = (
            select(versions.c.name, versions.c.version, versions.c.visibility, versions.c.owner_scope)
            .add_columns(pages.c.pages)
            .join_from(versions, pages, of_both)
            .order_by(versions.c.created, versions.c.name, versions.c.version)
        )
        owners: dict[bytes, str] = {}
        with self._snapshot() as db:
            for name, version, visibility, owner, blob in db.execute(
                statement.execution_options(yield_per=256)
            ):
                scope = pages_scope(id_of(name), version, visibility, owner)
                for page in parse_pages(blob):
                    owners.setdefault(stored_key(page.key, scope), owner)
        return owners

    def damage_reports(self) -> list[str]:
        """Return a line for each loss of what was set aside in the store."""
        return registry_losses.damage_reports(self.folder)

    def snapshot(self, read: Callable[[Connection], T]) -> T:
        """Return what ``read`` makes of all rows at one moment; it changes nothing. Raises Unavailable.

        Example:
            ``registry.snapshot(read_snapshot)``
        """
        with self._snapshot() as db:
            return read(db)

    def check(self) -> list[str]:
        """Return every fault as a line of text; empty when sound. What was set aside is one, until its folder is
        removed. Changes nothing."""
        faults = [f"registry: {fault}" for fault in self.damage_reports()]
        with self._snapshot() as db:
            faults += registry_faults(db)
        return faults

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with named_errors(), self._database.transaction() as db:
            yield db

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        with named_errors(), self._database.snapshot() as db:
            yield db


def _insert_pages(db: Connection, ref: DocumentRef, framings: Sequence[KeptFraming]) -> None:
    for framing in framings:
        db.execute(insert(DOCUMENT_PAGES), [pages_row(ref, framing)])

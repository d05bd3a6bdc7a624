"""`Registry`: published documents in the database, with their texts, versions, kept pages, aliases and manifests.

A version is written in one transaction, after its pages: a process killed earlier leaves no trace here, and its pages
have no owner (``page_owners`` gives the store those that have one).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Connection, delete, insert, select

from kvproxy.core import GRANTED, DocumentRef, Visibility
from kvproxy.database.announcements import ChangeTopic, announce
from kvproxy.database.tables.document_tables import (
    DOCUMENT_PAGES,
    DOCUMENT_TEXTS,
    DOCUMENT_VERSIONS,
)
from kvproxy.documents.library.document import Document
from kvproxy.documents.registry import registry_losses
from kvproxy.documents.registry.registry_entry import KeptFraming, RegistryEntry
from kvproxy.documents.registry.registry_faults import registry_faults
from kvproxy.documents.registry.registry_marks import RegistryMarks
from kvproxy.documents.registry.registry_names import NamedDocuments, read_named, read_states
from kvproxy.documents.registry.registry_owners import read_page_owners
from kvproxy.documents.registry.registry_reading import lost_marks, read_verified
from kvproxy.documents.registry.registry_rows import (
    document_rows,
    pages_row,
)
from kvproxy.documents.registry.registry_writing import (
    change_version,
    check_number,
    delete_rows,
    last_number,
    note_number,
    of_version,
)
from kvproxy.errors import Unavailable

T = TypeVar("T")


class Registry(RegistryMarks):
    """The published documents of a database, which its owner closes. Blocking; safe from several threads.

    A row that fails its digest is lost, never served: ``load`` sets it aside and reports it.

    Example:
        ``entries = open_registry(database, config.store.path).load()``
    """

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
            _announce(db, document.ref, *([unpinned] if unpinned is not None else []))

    def replace_kept(
        self, ref: DocumentRef, framings: Sequence[KeptFraming], fingerprint: str | None = None
    ) -> None:
        """Replace the record of a version's kept pages: those of one engine, or of all for None. A version that no
        longer exists, or was revoked meanwhile, is no error: it gets none. Raises StorageFull.

        Example:
            ``registry.replace_kept(DocumentRef("handbook", 3), framings, engine_fingerprint)``
        """
        with self._transaction() as db:
            if change_version(db, ref):
                replaced = [DOCUMENT_PAGES.c.fingerprint == fingerprint] if fingerprint else []
                db.execute(delete(DOCUMENT_PAGES).where(*of_version(DOCUMENT_PAGES, ref), *replaced))
                revoked = select(DOCUMENT_VERSIONS.c.revoked).where(*of_version(DOCUMENT_VERSIONS, ref))
                if db.execute(revoked).scalar() is None:
                    _insert_pages(db, ref, framings)
                _announce(db, ref)

    def quarantine(self, ref: DocumentRef, note: str | None) -> None:
        """Record that the kept pages of a version are not to be used, with the reason; None ends that."""
        with self._transaction() as db:
            change_version(db, ref, quarantined=note)
            _announce(db, ref)

    def quarantine_all(self, notes: Mapping[DocumentRef, str]) -> None:
        """Record several quarantine notes, all or none; durable on return. A version that no longer exists is no
        error."""
        with self._transaction() as db:
            for ref, note in notes.items():
                change_version(db, ref, quarantined=note)
            _announce(db, *notes)

    def pin(self, ref: DocumentRef, pinned: bool) -> None:
        """Record whether the pages of a version are to stay in memory."""
        with self._transaction() as db:
            change_version(db, ref, pinned=int(pinned))
            _announce(db, ref)

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
                _announce(db, ref)

    def touch(self, ref: DocumentRef, expires: int | None) -> None:
        """Record the Unix second from which a version is not served any more; None: never."""
        with self._transaction() as db:
            change_version(db, ref, expires=expires)
            _announce(db, ref)

    def delete(self, refs: Sequence[DocumentRef]) -> None:
        """Delete versions, all or none. Their numbers are never used again."""
        with self._transaction() as db:
            for ref in refs:
                db.execute(delete(DOCUMENT_VERSIONS).where(*of_version(DOCUMENT_VERSIONS, ref)))
            _announce(db, *refs)

    def end(self, ref: DocumentRef, by: float) -> bool:
        """Drop the pages and the pin of a version that has expired by the Unix time ``by``; return whether its row says
        that it has: another process may have touched it.

        Example:
            ``registry.end(DocumentRef("handbook", 3), time.time())``
        """
        with self._transaction() as db:
            if not _expired(db, ref, by):
                return False
            change_version(db, ref, pinned=0)
            db.execute(delete(DOCUMENT_PAGES).where(*of_version(DOCUMENT_PAGES, ref)))
            _announce(db, ref)
            return True

    def delete_expired(self, refs: Sequence[DocumentRef], by: float) -> list[DocumentRef]:
        """Delete those versions that have expired by the Unix time ``by``; return the others that are there.

        Example:
            ``left = registry.delete_expired([DocumentRef("handbook", 3)], time.time() - grace_s)``
        """
        left = []
        with self._transaction() as db:
            for ref in refs:
                if (expired := _expired(db, ref, by)) is False:
                    left.append(ref)
                elif expired:
                    db.execute(delete(DOCUMENT_VERSIONS).where(*of_version(DOCUMENT_VERSIONS, ref)))
                    _announce(db, ref)
        return left

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
        with self._snapshot() as db:
            return last_number(db, {DocumentRef(document_id, owner=owner).name for owner in owners})

    def named(self, name: str, fingerprint: str = "") -> NamedDocuments:
        """Read the versions and aliases of one name (``DocumentRef.name``), with the pages of one engine, or of all
        for an empty ``fingerprint``. Damaged rows are left out.

        Example:
            ``found = registry.named(DocumentRef("handbook").name, engine_fingerprint)``
        """
        with self._snapshot() as db:
            return read_named(db, name, fingerprint)

    def states(self, fingerprint: str = "", names: Sequence[str] | None = None) -> dict[str, bytes]:
        """Return a digest of all that :meth:`named` reads, of ``names`` or of every name: those whose digests are equal
        have not changed.

        Example:
            ``states = registry.states(engine_fingerprint)``
        """
        with self._snapshot() as db:
            return read_states(db, fingerprint, names)

    def load(self, fingerprint: str = "") -> list[RegistryEntry]:
        """Read and verify all versions, by id and then by version. Damaged rows are set aside, reported, and deleted.

        The pages are those of one engine, or of all for an empty ``fingerprint``. Seconds for a large library: not on
        the event loop.
        """
        with self._snapshot() as db:
            found = read_verified(db, fingerprint)
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

    def page_owners(self, fingerprint: str = "") -> dict[bytes, str]:
        """Return, for each page that belongs to a document, the scope of its oldest publisher, by its key in the
        page store: pages of one engine, or of all for an empty ``fingerprint``. Rows are not verified: a page too many
        is kept, and none is read by this."""
        with self._snapshot() as db:
            return read_page_owners(db, fingerprint)

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


def _announce(db: Connection, *refs: DocumentRef) -> None:
    for ref in refs:
        announce(db, ChangeTopic.DOCUMENTS, ref.name)


def _expired(db: Connection, ref: DocumentRef, by: float) -> bool | None:
    """Return whether a version's row says so, and lock it; None where there is none."""
    table = DOCUMENT_VERSIONS
    statement = select(table.c.expires).where(*of_version(table, ref)).with_for_update()
    row = db.execute(statement).one_or_none()
    return None if row is None else row.expires is not None and row.expires <= by


def _insert_pages(db: Connection, ref: DocumentRef, framings: Sequence[KeptFraming]) -> None:
    for framing in framings:
        db.execute(insert(DOCUMENT_PAGES), [pages_row(ref, framing)])

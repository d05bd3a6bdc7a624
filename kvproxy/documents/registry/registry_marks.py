"""`RegistryMarks`: what the registry keeps beside versions and pages: aliases, manifests and reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import Connection, delete, select

from kvproxy.core import DocumentRef
from kvproxy.database.advisory_locks import AdvisoryLocks
from kvproxy.database.announcements import ChangeTopic, announce
from kvproxy.database.change_feed import ChangeFeed
from kvproxy.database.database import Database
from kvproxy.database.tables.document_tables import DOCUMENT_ALIASES, DOCUMENT_MANIFESTS, DOCUMENT_READS
from kvproxy.documents.library.recorded_reads import RecordedReads
from kvproxy.documents.registry.registry_entry import DocumentAlias
from kvproxy.documents.registry.registry_faults import named_errors
from kvproxy.documents.registry.registry_owners import read_reads
from kvproxy.documents.registry.registry_reading import rows_of
from kvproxy.documents.registry.registry_rows import row_fault
from kvproxy.documents.registry.registry_writing import change_version, of_version, put_row


class RegistryMarks:
    """The part of :class:`~kvproxy.documents.registry.registry.Registry` that no version depends on. Blocking.

    Example:
        ``registry.set_alias("handbook", "stable", 3)``
    """

    def __init__(self, database: Database, folder: Path) -> None:
        """Take a migrated database. ``folder``: the store's, where damaged rows are set aside; see
        :func:`~kvproxy.documents.registry.open_registry.open_registry`."""
        self._database = database
        self.folder = folder

    @property
    def changes(self) -> ChangeFeed:
        """The feed of the database, which tells of each name that a change here is of."""
        return self._database.changes

    @property
    def locks(self) -> AdvisoryLocks | None:
        """The locks that the processes of the database share; None where it has none."""
        return self._database.locks

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
            announce(db, ChangeTopic.DOCUMENTS, name)

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
        """Add reads of versions to what is recorded of them: several processes count them. A version that no longer
        exists is no error.

        Example:
            ``registry.note_reads({DocumentRef("handbook", 3): RecordedReads(120, 1_790_000_000, 450_000)})``
        """
        with self._transaction() as db:
            for ref, count in reads.items():
                if change_version(db, ref):
                    row = {"name": ref.name, "version": ref.version}
                    put_row(db, DOCUMENT_READS, {**row, **asdict(count.after(_recorded(db, ref)))})

    def reads(self) -> dict[tuple[str, int], RecordedReads]:
        """Return the recorded reads by ``DocumentRef.name`` and version. Damaged rows are left out."""
        with self._snapshot() as db:
            return read_reads(db)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with named_errors(), self._database.transaction() as db:
            yield db

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        with named_errors(), self._database.snapshot() as db:
            yield db


def _recorded(db: Connection, ref: DocumentRef) -> RecordedReads:
    """Return what is recorded of a version's reads; nothing where that is damaged."""
    row = db.execute(select(DOCUMENT_READS).where(*of_version(DOCUMENT_READS, ref))).mappings().one_or_none()
    if row is None or row_fault(DOCUMENT_READS, row) is not None:
        return RecordedReads()
    return RecordedReads(row["reads"], row["last_read"], row["saved_tokens"])

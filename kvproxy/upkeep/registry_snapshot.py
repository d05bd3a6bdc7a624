"""`RegistrySnapshot`: all that a check needs of the registry, read at one moment; nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, inspect

from kvproxy.core import stored_key
from kvproxy.database.tables.document_tables import DOCUMENT_ALIASES, DOCUMENT_MANIFESTS, DOCUMENT_VERSIONS
from kvproxy.documents.registry.registry_entry import DocumentAlias, RegistryEntry
from kvproxy.documents.registry.registry_faults import registry_faults
from kvproxy.documents.registry.registry_reading import read_verified, rows_of
from kvproxy.documents.registry.registry_rescue import database_faults
from kvproxy.documents.registry.registry_rows import row_fault
from kvproxy.store.sqlite.sqlite_read_only import read_only


@dataclass(frozen=True, slots=True)
class RegistrySnapshot:
    """The sound rows, and a line for each that is not."""

    entries: tuple[RegistryEntry, ...] = ()
    aliases: tuple[DocumentAlias, ...] = ()
    manifests: Mapping[tuple[str, int], str] | None = None
    """The signed manifest of each version, by ``DocumentRef.name`` and number."""
    faults: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    """Faults of the database itself, which make its rows unreadable."""
    unfinished: str | None = None
    """A write that a killed process left at the end of the database's log; the next start drops it."""

    @property
    def page_owners(self) -> dict[bytes, str]:
        """The pages that documents need by their keys in the page store, with the version that each is first of."""
        owners: dict[bytes, str] = {}
        for entry in self.entries:
            for framing in entry.framings:
                for page in framing.kept.pages:
                    owners.setdefault(stored_key(page.key, entry.document.scope), str(entry.document.ref))
        return owners


def read_snapshot(db: Connection, fingerprint: str = "") -> RegistrySnapshot:
    """Read the registry of an open database, with the pages of one engine, or of all for an empty ``fingerprint``.
    Raises sqlalchemy's DBAPIError where it cannot be read.

    Example: ``registry.snapshot(read_snapshot)``
    """
    found = read_verified(db, fingerprint)
    aliases = [row for row in rows_of(db, DOCUMENT_ALIASES) if row_fault(DOCUMENT_ALIASES, row) is None]
    manifests = [row for row in rows_of(db, DOCUMENT_MANIFESTS) if row_fault(DOCUMENT_MANIFESTS, row) is None]
    return RegistrySnapshot(
        tuple(found.entries),
        tuple(DocumentAlias(row["name"], row["alias"], row["version"]) for row in aliases),
        {(row["name"], row["version"]): row["jws"] for row in manifests},
        tuple(registry_faults(db)),
    )


def read_file_snapshot(path: Path) -> RegistrySnapshot:
    """Read the registry of an SQLite file that may be in use, damaged, or on a read-only medium.

    Raises sqlite3.Error and DBAPIError where it cannot be read for another reason.

    Example: ``read_file_snapshot(config.store.path / FILE_NAME)``
    """
    if not path.exists():
        return RegistrySnapshot()
    found = database_faults(path)
    if found.broken:
        return RegistrySnapshot(broken=found.broken, unfinished=found.unfinished)
    engine = create_engine("sqlite://", creator=lambda: read_only(path), poolclass=NullPool)
    try:
        with engine.connect() as db:
            has_rows = inspect(db).has_table(DOCUMENT_VERSIONS.name)
            rows = read_snapshot(db) if has_rows else RegistrySnapshot()
            return replace(rows, unfinished=found.unfinished)
    finally:
        engine.dispose()

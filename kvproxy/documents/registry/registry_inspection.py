"""`inspect_registry`: the faults of a registry in a database file, read while a proxy may be using it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import NullPool, create_engine, inspect

from kvproxy.database.tables.document_tables import DOCUMENT_VERSIONS
from kvproxy.documents.registry.registry_faults import registry_faults
from kvproxy.documents.registry.registry_rescue import database_faults
from kvproxy.store.sqlite.sqlite_read_only import read_only


def inspect_registry(path: Path) -> list[str]:
    """Return every fault of the registry in an SQLite file as a line of text. Changes nothing, and leaves nothing
    behind. Raises sqlite3.Error and sqlalchemy's DBAPIError where the file cannot be read.

    Example:
        ``faults = inspect_registry(config.store.path / FILE_NAME)``
    """
    found = database_faults(path)
    undone = [] if found.unfinished is None else [found.unfinished]
    if found.broken:
        return [*undone, *found.broken]
    engine = create_engine("sqlite://", creator=lambda: read_only(path), poolclass=NullPool)
    try:
        with engine.connect() as db:
            has_rows = inspect(db).has_table(DOCUMENT_VERSIONS.name)
            return [*undone, *(registry_faults(db) if has_rows else [])]
    finally:
        engine.dispose()

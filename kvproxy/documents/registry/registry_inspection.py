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
    if found := database_faults(path):
        return found
    engine = create_engine("sqlite://", creator=lambda: read_only(path), poolclass=NullPool)
    try:
        with engine.connect() as db:
            return registry_faults(db) if inspect(db).has_table(DOCUMENT_VERSIONS.name) else []
    finally:
        engine.dispose()

"""`open_registry`: the registry of an open database, with the documents of the file that older versions kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.documents.registry.old_registry_import import import_old_registry
from kvproxy.documents.registry.registry import Registry


def open_registry(database: Database, folder: Path) -> Registry:
    """Return the registry of a migrated database. An older version's ``documents.sqlite3`` in the store's ``folder``
    is moved into it. Blocking; raises SetupError.

    Example:
        ``registry = open_registry(database, config.store.path)``
    """
    import_old_registry(database, folder)
    return Registry(database, folder)


@contextmanager
def registry_of_store(folder: Path) -> Iterator[Registry]:
    """Open the registry of a store with its own database, for programs that need nothing else of it.

    Example:
        ``with registry_of_store(folder) as registry: entries = registry.load()``
    """
    with Database.open(None, folder) as database:
        migrate(database)
        yield open_registry(database, folder)

"""`OwnRegistry`: a registry with a database of its own, for tests that open and close it themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from sqlalchemy import event

from kvproxy.database.database import FILE_NAME, Database
from kvproxy.database.migrate import migrate
from kvproxy.documents.registry.old_registry_import import import_old_registry
from kvproxy.documents.registry.registry import Registry
from kvproxy.documents.registry.registry_rescue import make_database_sound


class OwnRegistry(Registry):
    """The registry of a store's folder, as a proxy opens it."""

    def __init__(self, folder: Path) -> None:
        make_database_sound(folder / FILE_NAME, lambda _: [])
        self.database = Database.open(None, folder)
        migrate(self.database)
        import_old_registry(self.database, folder)
        super().__init__(self.database, folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.database.close()

    def limit_pages(self, pages: int) -> None:
        """Let the database grow to ``pages`` of 4 KiB and no further."""

        def limit(connection: Any, _record: Any) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages}")

        self.database.engine.dispose()
        event.listen(self.database.engine, "connect", limit)

"""Opens the stored responses: in the database that the proxies share, or in files of this one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kvproxy.config import Config
from kvproxy.database.database import Database
from kvproxy.shared_responses.database_responses import DatabaseResponses
from kvproxy.store.response_store import ResponseStore
from kvproxy.store.stored_responses import FileResponses


@contextmanager
def open_responses(config: Config, database: Database) -> Iterator[ResponseStore]:
    """Open the stored responses until the block ends. Raises SetupError.

    Example: ``with open_responses(config, database) as responses: ...``
    """
    settings = config.responses
    if database.is_sqlite:
        folder = config.store.path / "responses"
        with FileResponses(folder, ttl_s=settings.ttl_s, max_size=settings.max_size) as files:
            yield files
        return
    with DatabaseResponses(database, ttl_s=settings.ttl_s, max_size=settings.max_size) as shared:
        yield shared

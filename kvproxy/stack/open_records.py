"""Opens what outlives the process besides pages: the database with the registry, and the stored responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from kvproxy.config import Config
from kvproxy.database.database import Database
from kvproxy.documents.registry.open_registry import open_registry
from kvproxy.documents.registry.registry import Registry
from kvproxy.stack.open_database import open_database
from kvproxy.stack.open_responses import open_responses
from kvproxy.store.response_store import ResponseStore
from kvproxy.store.store_folder import hold_folder, make_folder


@dataclass(frozen=True, slots=True)
class OpenRecords:
    """The durable records of one process, whoever computes its models."""

    database: Database
    responses: ResponseStore
    registry: Registry
    prepared: Path
    """The file of prepared texts, which the publisher opens."""


@asynccontextmanager
async def open_records(config: Config) -> AsyncIterator[OpenRecords]:
    """Open the records of a process without pages of its own, under the lock of the store's folder. Raises SetupError.

    Example: ``async with open_records(config) as records: entries = records.registry.load()``
    """
    path = config.store.path
    async with AsyncExitStack() as life:
        make_folder(path)
        # No other process may write responses here, or have its database looked into for damage.
        life.enter_context(hold_folder(path))
        database = await life.enter_async_context(open_database(config))
        responses = life.enter_context(open_responses(config, database))
        registry = await asyncio.to_thread(open_registry, database, path)
        yield OpenRecords(database, responses, registry, path / "prepared.sqlite3")

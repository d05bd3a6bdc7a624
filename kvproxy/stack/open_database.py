"""Opens the database that everything durable but pages and responses lives in: the first component of a stack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kvproxy.config import Config
from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate


@asynccontextmanager
async def open_database(config: Config) -> AsyncIterator[Database]:
    """Open and migrate the database of ``database.url``, or the file in the store's folder. Raises SetupError.

    Example:
        ``async with open_database(config) as database, open_stores(config, model, database) as stores: ...``
    """
    with Database.open(config.database.url, config.store.path) as database:
        await asyncio.to_thread(migrate, database)
        yield database

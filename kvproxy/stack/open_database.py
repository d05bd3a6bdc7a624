"""Opens the database that everything durable but pages and responses lives in, under the lock of the store's folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

from sqlalchemy import URL

from kvproxy.config import Config
from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.documents.registry.registry_rescue import make_database_sound
from kvproxy.ledger.ledger_check import find_faults

_SHOWN = 3
"""Faults of a damaged ledger that an error names."""


@asynccontextmanager
async def open_database(config: Config) -> AsyncIterator[Database]:
    """Open and migrate the database of ``database.url``, or the file in the store's folder. Raises SetupError.

    Example:
        ``async with open_database(config) as database, open_market(config, host, database) as market: ...``
    """
    path = Database.file(config.database.address, config.store.path)
    if path is not None:
        await asyncio.to_thread(make_database_sound, path, ledger_faults)
    with Database.open(config.database.address, config.store.path) as database:
        await asyncio.to_thread(migrate, database)
        database.changes.listen()
        yield database


def ledger_faults(path: Path) -> list[str]:
    """Return the first faults of the ledger in a database file, as ``kvproxy ledger check`` finds them, without
    prices."""
    with Database(URL.create("sqlite", database=str(path))) as database:
        return [f"ledger: {fault}" for fault in islice(find_faults(database), _SHOWN)]

"""Tables whose rows are only ever added, numbered from 1 without gaps, so that a reader asks for what is new."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from sqlalchemy import Connection, Table, func, select, text

logger = logging.getLogger(__name__)

REFRESH_S = 5.0
"""Seconds until a process sees what another one has recorded."""


def lock_rows(db: Connection, *tables: Table) -> None:
    """Keep other writers out until the transaction ends; readers go on. On SQLite a transaction is alone already."""
    if db.dialect.name == "postgresql":
        names = ", ".join(db.dialect.identifier_preparer.format_table(table) for table in tables)
        db.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))


def next_seq(db: Connection, table: Table) -> int:
    """Return the number of the next row. Call ``lock_rows`` first: a sequence of the database would have gaps, and
    rows that become visible out of order."""
    return int(db.execute(select(func.max(table.c.seq))).scalar() or 0) + 1


class Refreshed(Protocol):
    """A part that reads other processes' additions from the database."""

    def refresh(self) -> None:
        """Read what is new. Blocks."""
        ...


async def keep_refreshed(*parts: Refreshed, every_s: float = REFRESH_S) -> None:
    """Refresh ``parts`` again and again, on a worker thread, until cancelled. A failure is logged once in a row: the
    database may come back, and what is in memory is right until then."""
    failing = False
    while True:
        await asyncio.sleep(every_s)
        try:
            for part in parts:
                await asyncio.to_thread(part.refresh)
        except Exception as e:
            if not failing:
                logger.warning("cannot read prices from the database, going on with those known: %s", e)
            failing = True
        else:
            failing = False

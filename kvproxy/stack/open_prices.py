"""Opens tariffs, terms and the host's keys: what the database and the configuration say of prices, kept up to date."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from kvproxy.config import Config
from kvproxy.database.announcements import ChangeTopic
from kvproxy.database.database import Database
from kvproxy.database.topic_changes import TopicChanges
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.stack.tariff_context import file_context
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.tariff_file import read_tariff_file
from kvproxy.tariffs.terms_book import TermsBook

logger = logging.getLogger(__name__)

REFRESH_S = 2.0
"""Seconds between two looks for tariffs, terms and keys that other processes have added."""


@dataclass(frozen=True, slots=True)
class OpenPrices:
    """Prices of models, terms of documents, and the keys that quotes and receipts are signed with."""

    tariffs: Tariffs
    terms: TermsBook
    host_keys: HostKeys

    def refresh(self) -> None:
        """Read what other processes have added. Blocking."""
        self.tariffs.refresh()
        self.terms.refresh()
        self.host_keys.refresh()


@asynccontextmanager
async def open_prices(
    config: Config, database: Database, *, refresh_s: float = REFRESH_S
) -> AsyncIterator[OpenPrices]:
    """Record the tariff file, read what is recorded, and follow other processes until the end of the block.

    Raises SetupError for a tariff file with faults, or one that changes what has begun.
    Example: ``async with open_prices(config, database) as prices: prices.tariffs.at(now_ms)``
    """
    prices = await asyncio.to_thread(_read_prices, config, database)
    with closing(TopicChanges(database.changes, ChangeTopic.PRICES, refresh_s)) as changes:
        task = asyncio.create_task(_follow(prices, changes))
        try:
            yield prices
        finally:
            # Never cancelled: its thread would go on reading while the database is closed.
            changes.close()
            await task


def _read_prices(config: Config, database: Database) -> OpenPrices:
    tariffs = Tariffs(database, in_force=config.tariff is not None)
    tariffs.refresh()
    if config.tariff is not None:
        tariffs.record_file(read_tariff_file(config.tariff, file_context(config)))
    terms = TermsBook(database, tariffs)
    terms.refresh()
    return OpenPrices(tariffs, terms, HostKeys.open(config.store.path))


async def _follow(prices: OpenPrices, changes: TopicChanges) -> None:
    failing = False
    while await changes.next():
        try:
            await asyncio.to_thread(prices.refresh)
            failing = False
        except Exception:  # whatever a driver raises: prices stay as they were until the database is back
            if not failing:
                logger.exception(
                    "tariffs, terms and host keys cannot be read; they stay as they were until they can"
                )
            failing = True

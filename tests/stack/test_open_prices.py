"""Prices follow what another process records, and stay as they were while the database is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.stack.open_prices import open_prices
from kvproxy.tariffs import DocumentTerms
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.terms_book import TermsBook
from tests.stack.test_open_market import config


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - another thread's reading, which sets no event
            await asyncio.sleep(0.01)


async def test_terms_of_another_process_are_seen(tmp_path: Path) -> None:
    settings = config(tmp_path)
    half = DocumentTerms(kind="share", share_ppm=500_000)
    with Database.open(None, tmp_path / "store") as database:
        migrate(database)
        async with open_prices(settings, database, refresh_s=0.02) as prices:
            assert prices.terms.terms("handbook", "acme") != half
            other = TermsBook(database, Tariffs(database))
            await asyncio.to_thread(other.set_terms, "handbook", "acme", half)
            await until(lambda: prices.terms.terms("handbook", "acme") == half)


async def test_prices_stay_while_the_database_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config(tmp_path)
    with Database.open(None, tmp_path / "store") as database:
        migrate(database)
        async with open_prices(settings, database, refresh_s=0.02) as prices:
            now = time.time_ns() // 1_000_000
            valid = prices.tariffs.at(now)
            monkeypatch.setattr(prices.terms, "refresh", _away)
            await until(lambda: "stay as they were" in caplog.text)
            assert valid is not None and prices.tariffs.at(now) == valid


def _away() -> None:
    raise OSError("no database")

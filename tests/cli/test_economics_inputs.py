"""Inputs of ``kvproxy economics`` that lie elsewhere: a measurement made now, recorded prices, the ledger's sums."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.cli.economics_inputs import read_asked, read_booked, read_measured
from kvproxy.config import Config, load_config
from kvproxy.core import Caller, Charge, DocumentTokens, MeteredTokens
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.economics import host_margin
from kvproxy.economics.document_case import MarketPrices
from kvproxy.errors import SetupError
from kvproxy.ledger.bookings import Booking, HoldRequest
from kvproxy.ledger.ledger import Ledger
from kvproxy.tariffs import FREE, DocumentTerms, ModelPrices, Tariff, charge
from kvproxy.tariffs.recorded_tariffs import Tariffs

TERMS = DocumentTerms(kind="share", share_ppm=300_000, publisher_ppm=800_000)
TARIFF = Tariff.of("USD", 0, {"m": ModelPrices(input=5 * 10**9, output=0)}, documents=TERMS)


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    with Database.open(None, tmp_path) as database:
        METADATA.create_all(database.engine)
    return load_config(None, {"store.path": tmp_path})


async def book(folder: Path, *documents: str) -> list[Charge]:
    """Read each document once, 1,000 tokens from kept pages."""
    charges = []
    with Database.open(None, folder) as database:
        async with Ledger.open(database, folder, default_credit=None) as ledger:
            for number, name in enumerate(documents):
                read = DocumentTokens(name, "0" * 64, "acme", 1000, TERMS.id)
                metered = MeteredTokens("m", 1200, 1000, 5, (read,))
                charged = charge(metered, TARIFF, {TERMS.id: TERMS})
                hold = await ledger.hold(
                    HoldRequest(f"r{number}", Caller("alice", "tenant:alice"), charged.cost)
                )
                hold.settle(Booking(f"r{number}", 1000 + number, "alice", None, metered, charged))
                charges.append(charged)
    return charges


async def test_the_ledgers_sums_are_of_the_document(settings: Config) -> None:
    charges = await book(settings.store.path, "handbook@1", "handbook@2", "other@1")
    found = read_booked(settings, "handbook").sums
    assert (found.requests, found.cached_tokens) == (2, 2000)
    one = charges[0].documents[0]
    assert (found.nano, found.share) == (2 * one.price, 2 * one.publisher_share)
    assert read_booked(settings, "handbook@2").sums.requests == 1
    everything = read_booked(settings, None)
    assert everything.sums.requests == 3 and everything.days is not None
    # The host also has the tokens of no document.
    other = 3 * (charges[0].cost - one.price)
    assert host_margin(charges) == everything.sums.nano - everything.sums.share + other
    with pytest.raises(SetupError, match="no read of missing"):
        read_booked(settings, "missing")


def test_recorded_prices_are_those_that_are_valid(settings: Config) -> None:
    before = read_asked(settings, None, "m", MarketPrices(), None)
    assert "no tariff is set" in before.source and before.terms == FREE
    with Database.open(None, settings.store.path) as database:
        Tariffs(database).record(TARIFF)
    asked = read_asked(settings, None, "m", MarketPrices(), None)
    assert (asked.prices, asked.terms) == (TARIFF.models["m"], TERMS)
    with pytest.raises(SetupError, match="list prices are in EUR, and the tariff in USD"):
        read_asked(settings, None, "m", MarketPrices(currency="EUR"), None)


def test_a_size_is_measured_where_no_file_is_given() -> None:
    found = read_measured(None, "shape:tiny", 300)
    assert found.tokens == 300 and 0 < found.times.disk_s and 0 < found.times.prefill_s
    assert found.kv_bytes == 300 * 256

"""The rest of a payment by request, in the reader's balance."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.charging import paid_requests
from kvproxy.charging.paid_requests import PaidRequests
from kvproxy.core import Charge, MeteredTokens
from kvproxy.database.database import Database
from kvproxy.ledger.bookings import Booking, HoldRequest
from tests.charging.market_setup import ALICE, MarketSetup, market_setup

BOOKING = Booking(
    "r1",
    1,
    "alice",
    None,
    MeteredTokens("fake", 100, 0, 5),
    Charge("USD", 700, 700, 700, (), ""),
    settled_by="pay_1",
)


@pytest.fixture
async def setup(a_database: Database, tmp_path: Path) -> AsyncIterator[MarketSetup]:
    async with market_setup(a_database, tmp_path) as opened:
        yield opened


async def booked(setup: MarketSetup) -> None:
    (await setup.ledger.hold(HoldRequest("r1", ALICE, 0))).settle(BOOKING)


@pytest.mark.parametrize("same_process", [True, False])
async def test_what_is_above_the_price_is_credited_once(setup: MarketSetup, same_process: bool) -> None:
    await booked(setup)
    paid = PaidRequests(setup.ledger, setup.database)
    if same_process:
        paid.note(BOOKING)
    for _ in range(2):
        assert await paid.credit("alice", 1000, "payment", "0xabc", id="pay_1") == 300
    assert await setup.balance() == (300, 0)


async def test_an_exact_payment_credits_nothing(setup: MarketSetup) -> None:
    await booked(setup)
    paid = PaidRequests(setup.ledger, setup.database)
    assert await paid.credit("alice", 700, "payment", "0xabc", id="pay_1") == 0
    assert await setup.balance() == (0, 0)


async def test_a_top_up_is_credited_whole(setup: MarketSetup) -> None:
    paid = PaidRequests(setup.ledger, setup.database)
    paid.note(replace(BOOKING, settled_by=None))
    assert await paid.booked("pay_2") is None
    assert await paid.credit("alice", 1000, "payment", "0xdef", id="pay_2") == 1000


async def test_memory_is_bounded(setup: MarketSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paid_requests, "_REMEMBERED", 3)
    paid = PaidRequests(setup.ledger, setup.database)
    for number in range(5):
        paid.note(replace(BOOKING, settled_by=f"pay_{number}"))
    assert [await paid.booked(f"pay_{n}") for n in range(5)] == [None, None, 700, 700, 700]

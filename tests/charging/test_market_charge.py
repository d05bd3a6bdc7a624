"""The open charge by itself: what its ends do to hold, quote and payment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.charging.charge_requests import Offer
from kvproxy.charging.market_charge import MarketCharge
from kvproxy.charging.market_charging import MarketCharging, MarketDesks
from kvproxy.charging.priced_order import price_order
from kvproxy.core import HonouredQuote, MeteredTokens
from kvproxy.database.database import Database
from kvproxy.ledger.bookings import Booking, HoldRequest
from kvproxy.payments.payment_method import Settlement
from kvproxy.tariffs import FREE
from tests.charging.market_setup import ALICE, MarketSetup, market_setup, order
from tests.charging.prices import PLENTY, TARIFF, price

USED = MeteredTokens("fake", 320, 0, 5)


class Paying:
    """An authorisation from outside; ``log`` says what became of it."""

    payment = "pay_1"

    def __init__(self, covers: int = PLENTY, *, broken: bool = False) -> None:
        self.covers = covers
        self.broken = broken
        self.log: list[str] = []

    async def settle(self, nano: int) -> Settlement:
        self.log.append(f"settled {nano}")
        if self.broken:
            raise OSError("the facilitator is away")
        return Settlement({"Payment-Receipt": "r"}, "tx", nano, self.payment)

    async def release(self) -> None:
        self.log.append("released")


@pytest.fixture
async def setup(a_database: Database, tmp_path: Path) -> AsyncIterator[MarketSetup]:
    async with market_setup(a_database, tmp_path) as opened:
        yield opened


async def opened(
    charging: MarketCharging, paying: Paying | None, quote: HonouredQuote | None = None, held: int = 0
) -> MarketCharge:
    asked = order(offer=Offer())
    hold = await charging.ledger.hold(HoldRequest(asked.request_id, ALICE, held))
    return MarketCharge(charging, price_order(asked, TARIFF, lambda _: FREE), hold, paying, quote)


def charging_of(setup: MarketSetup, paid: list[Booking] | None = None) -> MarketCharging:
    note = None if paid is None else paid.append
    return MarketCharging(
        setup.ledger, setup.tariffs, setup.terms, MarketDesks(quotes=setup.quotes, paid=note)
    )


async def test_a_payment_pays_the_real_price_and_its_headers_are_the_answers(setup: MarketSetup) -> None:
    noted: list[Booking] = []
    charging, paying = charging_of(setup, noted), Paying()
    charge = await opened(charging, paying)
    settled = charge.settle(USED)
    assert settled.charge is not None and settled.charge.cost == price(320, 0, 5)
    assert await charge.paid() == {"Payment-Receipt": "r"}
    assert paying.log == [f"settled {settled.charge.cost}"]
    assert [booking.settled_by for booking in noted] == ["pay_1"]
    charge.release()
    assert charge.left(USED) == settled
    await charging.close()
    assert len(paying.log) == 1


async def test_a_payment_from_the_balance_is_booked_on_it(setup: MarketSetup) -> None:
    await setup.credit(PLENTY)
    noted: list[Booking] = []
    charging, paying = charging_of(setup, noted), Paying(covers=0)
    charge = await opened(charging, paying, held=price(320, 0, 10))
    charge.settle(USED)
    await charge.paid()
    assert noted == [] and await setup.balance() == (PLENTY - price(320, 0, 5), 0)


async def test_a_payment_that_cannot_be_settled_now_does_not_hurt_the_answer(
    setup: MarketSetup, caplog: pytest.LogCaptureFixture
) -> None:
    charging, paying = charging_of(setup), Paying(broken=True)
    charge = await opened(charging, paying)
    assert charge.settle(USED).charge is not None
    assert await charge.paid() == {}
    await charging.close()
    assert "the facilitator is away" in caplog.text


async def test_a_failure_gives_everything_back(setup: MarketSetup) -> None:
    await setup.credit(PLENTY)
    charging, paying = charging_of(setup), Paying()
    charge = await opened(charging, paying, held=1000)
    charge.release()
    charge.release()
    assert await charge.paid() == {}
    await charging.close()
    assert paying.log == ["released"] and await setup.balance() == (PLENTY, 0)
    assert charge.settle(USED).charge is None, "too late"


async def test_the_prices_of_the_order_stay_when_the_tariff_changes(setup: MarketSetup) -> None:
    await setup.credit(PLENTY)
    charging = charging_of(setup)
    charge = await opened(charging, None, held=price(320, 0, 10))
    later = replace(TARIFF, valid_from_ms=1)
    await asyncio.to_thread(setup.tariffs.refresh)
    assert later.id == TARIFF.id
    settled = charge.settle(USED)
    assert settled.charge is not None and settled.charge.tariff == TARIFF.id

from __future__ import annotations

import pytest

from kvproxy.charging.charge_requests import Offer, Order, OrderedPrompt
from kvproxy.charging.fake_charging import FakeCharging
from kvproxy.core import Caller, MeteredTokens
from kvproxy.errors import PaymentRequired, QuotaExceeded
from tests.charging.prices import TARIFF, price

ALICE = Caller("alice", "tenant:alice")
HELD = price(100, 0, 20)


def order(id: str, receipt: bool = False) -> Order:
    return Order(id, ALICE, "fake", (OrderedPrompt(100, 10, choices=2),), Offer(receipt=receipt))


async def test_it_holds_books_and_frees() -> None:
    charging = FakeCharging(TARIFF, 2 * HELD)
    first, second = await charging.open(order("a")), await charging.open(order("b"))
    assert first.preview.hold.nano == HELD and charging.held == {"a": HELD, "b": HELD}
    with pytest.raises(PaymentRequired):
        await charging.open(order("c"))
    first.settle(MeteredTokens("fake", 100, 40, 7))
    second.release()
    second.release()
    assert charging.balance == 2 * HELD - price(100, 40, 7) and charging.held == {}
    assert [booking.request_id for booking in charging.bookings] == ["a"]


async def test_faults_of_its_callers_are_raised() -> None:
    charging = FakeCharging(TARIFF, 10 * HELD)
    charge = await charging.open(order("a"))
    with pytest.raises(AssertionError, match="were booked"):
        charge.settle(MeteredTokens("fake", 100, 0, 21))
    gone = await charging.open(order("b"))
    gone.release()
    with pytest.raises(KeyError):
        gone.left(MeteredTokens("fake", 100, 0, 1))


async def test_a_planned_refusal_is_raised_once() -> None:
    charging = FakeCharging(TARIFF, 10 * HELD)
    charging.refuse = QuotaExceeded("used up")
    with pytest.raises(QuotaExceeded):
        await charging.open(order("a"))
    await charging.open(order("b"))
    assert len(charging.orders) == 2

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kvproxy.charging.charge_requests import NoCharging, Offer, Order, OrderedPrompt
from kvproxy.charging.fake_charging import FakeCharging
from kvproxy.charging.request_bill import Bill
from kvproxy.core import Caller, DocumentRef, Prompt, Span
from kvproxy.errors import PaymentRequired
from kvproxy.events import Started, Usage
from tests.charging.prices import PLENTY, TARIFF, price
from tests.server.doubles import eventually

ALICE = Caller("alice", "tenant:alice")
SPAN = Span(DocumentRef("book", 3), 0, 40, publisher="acme")
ORDERED = OrderedPrompt(100, 10, (SPAN,))


def bill_of(charging: FakeCharging, counted: list[str] | None = None) -> Bill:
    def count(outcome: str, *_: Any) -> None:
        if counted is not None:
            counted.append(outcome)

    return Bill(charging, ALICE, "r1", Offer(), count)


def started(cached: int, *, parsed: bool = False) -> Started:
    return Started(cached, False, 0.0, 0.0, 0.0, parsed=parsed)


async def test_all_lines_are_one_booking_and_closed_once() -> None:
    charging, counted = FakeCharging(TARIFF, PLENTY), list[str]()
    bill = bill_of(charging, counted)
    await bill.open("fake", [ORDERED, ORDERED])
    await bill.open("fake", [ORDERED])
    assert len(charging.orders) == 1, "opened once"
    for cached in (0, 30):
        line = bill.line(100, (SPAN,))
        line.begin(started(cached), lambda: 3)
        line.usage = Usage(100, 5, cached)
    told = bill.told(Usage(200, 10, 30))
    bill.leave()
    bill.release()
    (booking,) = charging.bookings
    assert told.charge == booking.settled.charge
    assert (booking.metered.prompt_tokens, booking.metered.cached_tokens) == (200, 30)
    assert booking.metered.document_tokens == 30 and booking.outcome == "complete"
    assert counted == ["complete"] and charging.held == {}


@pytest.mark.parametrize(
    ("prepare", "used"),
    [
        (lambda line: line.progress.follow(lambda: (20, 60)), (60, 20, 0)),
        (lambda line: line.progress.follow(lambda: (20, 20)), None),
        (lambda line: line.progress.follow(lambda: (0, 500)), (100, 0, 0)),
        (lambda line: line.begin(started(30), lambda: 4), (100, 30, 4)),
        (lambda line: line.begin(started(0, parsed=True), lambda: 4), (100, 0, 4)),
        (lambda line: None, None),
    ],
)
async def test_a_client_that_leaves_pays_for_what_was_computed(
    prepare: Callable[[Any], None], used: tuple[int, int, int] | None
) -> None:
    charging = FakeCharging(TARIFF, PLENTY)
    bill = bill_of(charging)
    await bill.open("fake", [ORDERED])
    prepare(bill.line(100, (SPAN,)))
    bill.leave()
    assert charging.held == {}
    if used is None:
        assert charging.bookings == [] and charging.balance == PLENTY
    else:
        (booking,) = charging.bookings
        metered = booking.metered
        assert (metered.prompt_tokens, metered.cached_tokens, metered.completion_tokens) == used
        assert PLENTY - charging.balance == price(*used)


async def test_one_line_of_several_may_not_have_begun() -> None:
    charging = FakeCharging(TARIFF, PLENTY)
    bill = bill_of(charging)
    await bill.open("fake", [ORDERED, ORDERED])
    bill.line(100).usage = Usage(100, 5, 0)
    bill.line(100)
    bill.leave()
    assert charging.bookings[0].metered.prompt_tokens == 100


async def test_a_refusal_closes_the_bill() -> None:
    charging, counted = FakeCharging(TARIFF, 1), list[str]()
    bill = bill_of(charging, counted)
    with pytest.raises(PaymentRequired):
        await bill.open("fake", [ORDERED])
    bill.release()
    bill.leave()
    assert counted == ["refused"]


async def test_a_hold_that_is_granted_after_its_request_was_cancelled_is_freed() -> None:
    granted = asyncio.Event()

    class Slow(FakeCharging):
        async def open(self, order: Order) -> Any:
            await granted.wait()
            return await super().open(order)

    charging = Slow(TARIFF, PLENTY)
    bill = bill_of(charging)
    opening = asyncio.ensure_future(bill.open("fake", [ORDERED]))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    granted.set()
    await eventually(lambda: bool(charging.orders) and not charging.held)
    assert charging.bookings == [] and charging.balance == PLENTY


async def test_prompts_are_composed_once() -> None:
    bill = Bill(NoCharging(), ALICE, "r1", Offer())
    prompt = Prompt((1, 2, 3))
    bill.compose("r1.0", prompt)
    assert bill.composed("r1.0") is prompt
    assert bill.composed("r1.0") is bill.composed("r1.1") is None


async def test_the_speed_of_prefills_is_passed_on() -> None:
    charging = FakeCharging(TARIFF, PLENTY)
    bill = bill_of(charging)
    await bill.open("fake", [ORDERED])
    bill.learn(100, 0.5)
    assert charging.prefills == [("fake", 100)]

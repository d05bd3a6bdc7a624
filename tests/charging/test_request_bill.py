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


def expecting(cached: int) -> Started:
    return Started(cached, False, 0.0, 0.0, 0.0, confirmed=False)


@pytest.mark.parametrize(
    ("expected", "used"),
    [(30, (70, 0, 4)), (0, (100, 0, 4)), (100, (0, 0, 4)), (5000, (0, 0, 4)), (-7, (100, 0, 4))],
    ids=["some", "none", "all", "more than there is", "a lie below"],
)
async def test_who_leaves_a_fleet_pays_nothing_for_positions_that_nobody_has_reported(
    expected: int, used: tuple[int, int, int]
) -> None:
    charging = FakeCharging(TARIFF, PLENTY)
    bill = bill_of(charging)
    await bill.open("fake", [ORDERED])
    bill.line(100, (SPAN,)).begin(expecting(expected), lambda: 4)
    bill.leave()
    (booking,) = charging.bookings
    metered = booking.metered
    assert (metered.prompt_tokens, metered.cached_tokens, metered.completion_tokens) == used
    assert metered.documents == (), "no read is booked without the engine's report"
    assert PLENTY - charging.balance == price(*used)


@pytest.mark.parametrize(
    ("reported", "cached", "read"),
    [(32, 32, 32), (64, 64, 40), (0, 0, 0), (100, 100, 40), (9000, 100, 40), (-896, 0, 0)],
    ids=["part of the document", "and more", "nothing", "the prompt", "more than was sent", "negative"],
)
async def test_a_fleets_read_is_what_the_engine_reports_within_what_was_sent(
    reported: int, cached: int, read: int
) -> None:
    charging = FakeCharging(TARIFF, PLENTY)
    bill = bill_of(charging)
    await bill.open("fake", [ORDERED])
    line = bill.line(100, (SPAN,))
    line.begin(expecting(40), lambda: 4)
    shown = line.end(Usage(100, 4, reported))
    assert shown.cached_tokens == cached, "shown as it is billed"
    bill.settle()
    metered = charging.bookings[0].metered
    assert (metered.prompt_tokens, metered.cached_tokens, metered.document_tokens) == (100, cached, read)


async def test_a_replica_cannot_enlarge_the_prompt() -> None:
    charging = FakeCharging(TARIFF, PLENTY)
    bill = bill_of(charging)
    await bill.open("fake", [ORDERED])
    line = bill.line(100, (SPAN,))
    line.begin(expecting(0), lambda: 4)
    line.end(Usage(10**9, -4, 0))
    bill.settle()
    metered = charging.bookings[0].metered
    assert (metered.prompt_tokens, metered.completion_tokens) == (100, 0)


async def test_who_leaves_before_every_choice_has_begun_reads_nothing_that_was_only_expected() -> None:
    """The first choice has its first token, the second waits: all that is known is what the proxy expects."""
    charging = FakeCharging(TARIFF, PLENTY)
    bill = bill_of(charging)
    await bill.open("fake", [ORDERED])
    bill.line(100, (SPAN,), confirmed=False).progress.follow(lambda: (30, 100))
    bill.leave()
    metered = charging.bookings[0].metered
    assert (metered.prompt_tokens, metered.cached_tokens, metered.documents) == (70, 0, ())


@pytest.mark.parametrize(("told", "read"), [(64, 40), (0, 0), (9000, 40), (-1, 0)])
async def test_who_leaves_after_the_first_choice_was_reported_is_billed_by_the_report(
    told: int, read: int
) -> None:
    charging = FakeCharging(TARIFF, PLENTY)
    bill = bill_of(charging)
    await bill.open("fake", [ORDERED])
    bill.line(100, (SPAN,), confirmed=False).begin(expecting(30), lambda: 4, lambda: told)
    bill.leave()
    metered = charging.bookings[0].metered
    assert (metered.prompt_tokens, metered.completion_tokens) == (100, 4)
    assert (metered.cached_tokens, metered.document_tokens) == (min(max(told, 0), 100), read)


async def test_a_replica_cannot_show_more_tokens_than_an_answer_may_have() -> None:
    charging = FakeCharging(TARIFF, PLENTY)
    bill = bill_of(charging)
    await bill.open("fake", [ORDERED])
    line = bill.line(100, (SPAN,), confirmed=False, most_new=10)
    line.begin(expecting(0), lambda: 4)
    assert bill.told(line.end(Usage(100, 10**6, 0))).completion_tokens == 10
    assert charging.bookings[0].metered.completion_tokens == 10, "shown as it is billed"

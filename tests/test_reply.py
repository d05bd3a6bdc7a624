"""A reply of a fleet: what was expected, until its replica has reported."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import pytest

from kvproxy.backends.base import Generation
from kvproxy.backends.fake.expecting_backend import ExpectingBackend
from kvproxy.backends.fake.fake_backend import FakeBackend, FakeMisses
from kvproxy.charging.charge_requests import Offer
from kvproxy.charging.fake_charging import FakeCharging
from kvproxy.core import Caller, Hit, Miss, MissCause, TextRequest
from kvproxy.core.replica_choice import ReplicaChoice
from kvproxy.events import Event, Started
from kvproxy.pipeline import Pipeline
from kvproxy.reply import Reply
from kvproxy.served_model import ServedModel
from kvproxy.server.answers.local_answer import events_of, total
from kvproxy.telemetry.request_timer import Timings
from tests.charging.prices import PLENTY, TARIFF
from tests.server.doubles import CharComposer

ALICE = Caller("alice", "tenant:alice")
ASKED = TextRequest("fake", "x" * 600)


async def served(backend: FakeBackend, charging: FakeCharging) -> Reply:
    pipeline = Pipeline(
        models=[ServedModel.of(backend, CharComposer())],
        misses=FakeMisses(backend),
        default_max_tokens=8,
        charging=charging,
    )
    bill = pipeline.bill(ALICE, f"cmpl-{len(charging.orders)}", Offer())
    return await pipeline.serve(ASKED, ALICE, bill.request_id, Timings(), bill=bill)


async def read(reply: Reply) -> None:
    """Read a reply to its end, as whoever sends it does."""
    async with aclosing(events_of(reply, ASKED)) as events:
        usages = [event.usage async for _, event in events if hasattr(event, "usage")]
    reply.line.end(total(usages))
    reply.bill.settle()


@pytest.mark.parametrize(
    ("reported", "hit", "cause"),
    [(512, True, None), (0, False, MissCause.EVICTED), (256, True, MissCause.EVICTED)],
)
async def test_the_report_decides_what_the_reply_was(
    reported: int, hit: bool, cause: MissCause | None
) -> None:
    backend, charging = ExpectingBackend(), FakeCharging(TARIFF, PLENTY)
    async with aclosing(await served(backend, charging)) as first:
        await read(first)
    backend.reported = reported
    async with aclosing(await served(backend, charging)) as reply:
        assert isinstance(reply.decision, Hit) and not reply.confirmed.confirmed
        await read(reply)
        assert isinstance(reply.decision, Hit if hit else Miss) and reply.decision.cause is cause
        assert (reply.confirmed.cached_tokens, reply.confirmed.confirmed) == (reported, True)


async def test_a_replica_that_tells_no_number_has_evicted_nothing_and_teaches_no_speed() -> None:
    backend, charging = ExpectingBackend(), FakeCharging(TARIFF, PLENTY)
    backend.expected, backend.silent = 512, True
    async with aclosing(await served(backend, charging)) as reply:
        await read(reply)
        assert isinstance(reply.decision, Miss) and reply.decision.cause is MissCause.UNKNOWN
        assert (reply.confirmed.cached_tokens, reply.confirmed.confirmed) == (0, True)
        assert reply.meter.expectation == "unreported"
    assert charging.prefills == []


class Queued(ExpectingBackend):
    """Its first token comes behind a queue of unknown length."""

    async def generate(self, generation: Generation) -> AsyncGenerator[Event, None]:
        async with aclosing(super().generate(generation)) as events:
            async for event in events:
                yield replace(event, timed=False) if isinstance(event, Started) else event


async def test_a_wait_in_a_replicas_queue_is_no_prefill_that_readers_save() -> None:
    charging = FakeCharging(TARIFF, PLENTY)
    async with aclosing(await served(Queued(), charging)) as reply:
        await read(reply)
    assert charging.prefills == []


class Elsewhere(ExpectingBackend):
    """Another replica answers than the lookup chose, of which nothing is expected: the chosen one has failed."""

    async def generate(self, generation: Generation) -> AsyncGenerator[Event, None]:
        choice = ReplicaChoice("replica-b", "", 0, self.block_tokens)
        async with aclosing(super().generate(replace(generation, choice=choice))) as events:
            async for event in events:
                yield event


async def test_a_hit_that_another_replica_answers_is_no_hit_there_and_was_not_evicted() -> None:
    backend, charging = Elsewhere(), FakeCharging(TARIFF, PLENTY)
    backend.expected, backend.reported = 512, 0
    async with aclosing(await served(backend, charging)) as reply:
        assert isinstance(reply.decided, Hit)
        assert isinstance(reply.decision, Miss) and reply.decision.cause is None
        await read(reply)
        assert isinstance(reply.decision, Miss) and reply.decision.cause is None


async def test_a_fleets_speed_is_learnt_from_what_its_replica_computed_and_once() -> None:
    backend, charging = ExpectingBackend(), FakeCharging(TARIFF, PLENTY)
    backend.reported = 128
    reply = await served(backend, charging)
    assert charging.prefills == [], "nobody knows yet how much was computed"
    await read(reply)
    await reply.aclose()
    await reply.aclose()
    assert charging.prefills == [("fake", 600 - 128)]


async def test_a_reply_that_is_left_teaches_no_speed() -> None:
    charging = FakeCharging(TARIFF, PLENTY)
    await (await served(ExpectingBackend(), charging)).aclose()
    assert charging.prefills == []


async def test_an_engine_of_this_process_is_believed_from_its_first_event_on() -> None:
    charging = FakeCharging(TARIFF, PLENTY)
    reply = await served(FakeBackend(), charging)
    assert charging.prefills == [("fake", 600)]
    assert reply.confirmed is reply.started
    await read(reply)
    assert reply.confirmed is reply.started
    await reply.aclose()
    assert charging.prefills == [("fake", 600)]

"""Answers of fake replicas that fail before and behind the first byte, and the parameters that reach them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from kvproxy.backends.fleet.prompt_router import PlannedPrompt
from kvproxy.core import Caller, Constraint, Sampling
from kvproxy.core.answer_format import JsonFormat
from kvproxy.errors import (
    InvalidRequest,
    KVProxyError,
    NotReady,
    Overloaded,
    UnsupportedSchema,
    UpstreamError,
)
from kvproxy.events import Started, TextDelta
from kvproxy.fake_replica.replica_options import ReplicaOptions
from tests.backends.fleet.conftest import FleetRig, OpenRig
from tests.backends.fleet.fleet_requests import ALICE, a_generation, answer_of, document_prompt
from tests.server.doubles import eventually

PROMPT = tuple(range(1000, 1100))


def planned(fleet: FleetRig, caller: Caller = ALICE) -> PlannedPrompt:
    return fleet.backend._router.plan(a_generation(PROMPT).prompt, caller)


def first(fleet: FleetRig) -> str:
    return planned(fleet).choice.replica


@pytest.mark.parametrize(
    "fault",
    [
        {"fail_status": 500},
        {"fail_status": 503},
        {"fail_status": 503, "retry_after_s": 1},
        {"reset_before_headers": True},
        {"reset_after_tokens": 0},
    ],
    ids=str,
)
async def test_a_replica_that_fails_before_the_first_token_is_left(
    rig: OpenRig, fault: dict[str, object]
) -> None:
    async with rig(2) as fleet:
        bad = first(fleet)
        fleet[bad].faults.change(fault)
        found = await answer_of(fleet.backend, a_generation(PROMPT))
        assert found.started is not None and found.started.choice is not None
        assert found.started.choice.replica != bad
        assert sum(fleet.backend.figures().retries.values()) == 1
        assert first(fleet) != bad  # left at once, for the next request too
        load = fleet.backend._replicas.loads
        assert load.queued.sum() == 0 and load.running.sum() == 0


async def test_a_replica_that_refuses_connections_is_left_and_taken_back(rig: OpenRig) -> None:
    async with rig(2) as fleet:
        bad = first(fleet)
        await fleet[bad].refuse()
        found = await answer_of(fleet.backend, a_generation(PROMPT))
        assert found.started is not None and found.started.choice is not None
        assert found.started.choice.replica != bad
        await fleet[bad].accept()
        await eventually(lambda: bad in fleet.backend._replicas.usable())


async def test_a_stalled_replica_is_left_when_its_probe_fails(rig: OpenRig) -> None:
    async with rig(2) as fleet:
        bad = first(fleet)
        fleet[bad].faults.stall_first_s = 3600.0
        asked = asyncio.create_task(answer_of(fleet.backend, a_generation(PROMPT)))
        replica = fleet.backend._replicas.find(bad)
        assert replica is not None
        await eventually(lambda: bool(replica._waiting))
        await fleet[bad].refuse()
        found = await asked
        assert found.started is not None and found.started.choice is not None
        assert found.started.choice.replica != bad


async def test_the_time_limit_ends_the_wait_for_a_first_token(rig: OpenRig) -> None:
    async with rig(1, timeout_s=0.3) as fleet:
        fleet["a"].faults.stall_first_s = 3600.0
        with pytest.raises(UpstreamError):
            await answer_of(fleet.backend, a_generation(PROMPT))


@pytest.mark.parametrize("fault", [{"reset_after_tokens": 3}, {"error_after_tokens": 3}], ids=str)
async def test_behind_the_first_token_a_failure_ends_the_stream(
    rig: OpenRig, fault: dict[str, object]
) -> None:
    # With time between tokens: what comes in one piece with its failure is asked for elsewhere, since nothing was sent.
    async with rig(2, ReplicaOptions(decode_s=0.02)) as fleet:
        for one in fleet.replicas.values():
            one.faults.change(fault)
            one.say_next("one two three four five six seven")
        seen: list[object] = []
        with pytest.raises(UpstreamError) as failed:
            generation = a_generation(PROMPT, sampling=Sampling(max_tokens=50))
            async with aclosing(fleet.backend.generate(generation)) as events:
                async for event in events:
                    seen.append(event)
        assert failed.value.http_status == 502
        assert isinstance(seen[0], Started) and any(isinstance(e, TextDelta) for e in seen)
        assert sum(len(one.requests) for one in fleet.replicas.values()) == 1  # sent nowhere else
        assert fleet.backend.figures().broken_streams == 1


async def test_without_any_replica_the_fleet_is_not_ready(rig: OpenRig) -> None:
    async with rig(2) as fleet:
        for one in fleet.replicas.values():
            await one.refuse()
        with pytest.raises(KVProxyError) as failed:
            await answer_of(fleet.backend, a_generation(PROMPT))
        assert isinstance(failed.value, UpstreamError | NotReady)
        assert fleet.backend.ready() == "none of its replicas is up"


async def test_replicas_that_have_too_much_to_do_are_a_429_with_its_wait(rig: OpenRig) -> None:
    async with rig(2) as fleet:
        for one in fleet.replicas.values():
            one.faults.change({"fail_status": 503, "retry_after_s": 7})
        with pytest.raises(Overloaded) as failed:
            await answer_of(fleet.backend, a_generation(PROMPT))
        assert failed.value.retry_after_s == 7


async def test_a_refused_request_is_the_clients_and_no_failure_of_the_replica(rig: OpenRig) -> None:
    async with rig(2, ReplicaOptions(max_model_len=128)) as fleet:
        with pytest.raises(InvalidRequest) as failed:
            await answer_of(fleet.backend, a_generation(tuple(range(500))))
        assert failed.value.code == "context_length_exceeded"
        assert len(fleet.backend._replicas.usable()) == 2
        assert fleet.backend.figures().retries == {}


async def test_closing_an_answer_frees_it_at_the_replica(rig: OpenRig) -> None:
    async with rig(1, ReplicaOptions(decode_s=0.01)) as fleet:
        fleet["a"].say_next("word " * 500)
        async with aclosing(
            fleet.backend.generate(a_generation(PROMPT, sampling=Sampling(max_tokens=900)))
        ) as events:
            await anext(events)
        await eventually(lambda: not fleet["a"].engine.running)
        assert fleet.backend._replicas.loads.running.sum() == 0


async def test_logprobs_are_of_the_tokens_that_are_shown(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        fleet["a"].say_next("Hello there.")
        found = await answer_of(
            fleet.backend, a_generation(PROMPT, sampling=Sampling(max_tokens=64, logprobs=2))
        )
        tokens = [one for delta in found.deltas for one in delta.logprobs]
        assert b"".join(one.chosen.text for one in tokens).decode() == "Hello there."
        assert all(len(one.top) == 2 for one in tokens)
        assert [one.chosen.token_id for one in tokens] == fleet.tokenizer.encode_text("Hello there.")


async def test_a_stop_string_ends_the_answer_and_is_named(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        fleet["a"].say_next("one two three")
        sampling = Sampling(max_tokens=64, stop=(" three",))
        found = await answer_of(fleet.backend, a_generation(PROMPT, sampling=sampling))
        assert found.text == "one two"
        assert found.finished is not None
        assert (found.finished.reason, found.finished.stopped_by) == ("stop", " three")


async def test_control_marks_are_text_and_the_end_token_is_not(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        said = '<think>\nhm\n</think>\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
        fleet["a"].say_next(said)
        found = await answer_of(fleet.backend, a_generation(PROMPT, sampling=Sampling(max_tokens=200)))
        assert found.text == said


async def test_a_prompt_that_retains_nothing_is_found_by_nobody(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        await answer_of(fleet.backend, a_generation(PROMPT, retain=False))
        again = await answer_of(fleet.backend, a_generation(PROMPT, retain=False))
        assert again.cached == 0
        kept = await answer_of(fleet.backend, a_generation(PROMPT))
        assert kept.cached == 0
        salts = [one.salt for one in fleet["a"].requests]
        assert len(set(salts)) == 3


async def test_tenants_share_public_documents_and_nothing_else(rig: OpenRig) -> None:
    bob = Caller("bob", "tenant:bob")
    async with rig(1) as fleet:
        private = a_generation(PROMPT)
        await answer_of(fleet.backend, private)
        assert (await answer_of(fleet.backend, a_generation(PROMPT))).cached == 96
        assert (await answer_of(fleet.backend, a_generation(PROMPT, bob))).cached == 0
        public = document_prompt(PROMPT, (1, 2, 3))
        await answer_of(fleet.backend, a_generation(public))
        assert (await answer_of(fleet.backend, a_generation(public, bob))).cached == 96
    async with rig(1, isolation="strict") as fleet:
        await answer_of(fleet.backend, a_generation(public))
        assert (await answer_of(fleet.backend, a_generation(public, bob))).cached == 0


async def test_a_replica_that_tells_no_cached_tokens_is_taken_at_no_word(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        await answer_of(fleet.backend, a_generation(PROMPT))
        fleet["a"].faults.cached_null = True
        speeds = fleet.backend._replicas.speeds
        known = speeds.samples()["a"]
        found = await answer_of(fleet.backend, a_generation(PROMPT))
        assert found.started is not None and found.started.cached_tokens == 96
        assert found.finished is not None and not found.finished.usage.reported and found.cached == 0
        assert speeds.samples()["a"] == known, "nobody knows how much of it was computed"
        fleet["a"].faults.cached_null = False
        assert (await answer_of(fleet.backend, a_generation(PROMPT))).cached == 96


async def test_a_wait_behind_other_prefills_is_told_as_queue_and_not_as_prefill(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        replicas, replica = fleet.backend._replicas, fleet.backend._replicas.find("a")
        assert replica is not None
        first = (await answer_of(fleet.backend, a_generation(PROMPT))).started
        assert first is not None and (first.queue_s, first.timed) == (0.0, True) and first.prefill_s > 0.0
        fleet["a"].faults.stall_first_s = 0.2
        replicas.sent("a", int(0.05 * replicas.loads.load("a").prefill_tokens_per_s))
        behind = (await answer_of(fleet.backend, a_generation(PROMPT))).started
        assert behind is not None and behind.queue_s == pytest.approx(0.05, abs=0.01) and behind.timed
        assert behind.prefill_s + behind.queue_s >= 0.2
        replicas.sent("a", 10_000_000)
        last = (await answer_of(fleet.backend, a_generation(PROMPT))).started
        assert last is not None and last.prefill_s == 0.0 and last.queue_s >= 0.2 and not last.timed
        replicas.loads.withdrawn("a", 20_000_000)
        replicas.others(replica, 3)
        among = (await answer_of(fleet.backend, a_generation(PROMPT))).started
        assert among is not None and not among.timed, "others' queue is not known"


async def test_every_choice_of_a_request_goes_to_the_same_replica(rig: OpenRig) -> None:
    async with rig(3) as fleet:
        generation = a_generation(PROMPT)
        with fleet.backend.hold(generation.prompt, ALICE) as lookup:
            pass
        for at in range(4):
            made = replace(generation, request_id=f"x-{at}", choice=lookup.choice)
            found = await answer_of(fleet.backend, made)
            assert found.started is not None and found.started.choice is not None
            assert lookup.choice is not None and found.started.choice.replica == lookup.choice.replica
        seen = [one for replica in fleet.replicas.values() for one in replica.requests]
        assert len(seen) == 4 and len({one.session for one in seen}) == 1 and seen[0].session


async def test_a_request_that_engines_fail_at_takes_none_of_them_from_others(
    rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(3) as fleet:
        for one in fleet.replicas.values():
            one.faults.error_after_tokens = 0
        with pytest.raises(UpstreamError):
            await answer_of(fleet.backend, a_generation(PROMPT))
        constraint = Constraint(format=JsonFormat())
        with pytest.raises(UnsupportedSchema) as failed:
            await answer_of(fleet.backend, a_generation(PROMPT, constraint=constraint))
        assert failed.value.param == "response_format" and '{"backend": "guidance"}' in caplog.text
        assert len(fleet.backend._replicas.usable()) == 3
        assert sum(len(one.requests) for one in fleet.replicas.values()) == 4  # two for each, not three


async def test_answers_and_their_cached_tokens_are_counted_by_replica(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        for _ in range(2):
            await answer_of(fleet.backend, a_generation(PROMPT))
        (one,) = fleet.backend.figures().replicas
        assert (one.answers, one.hits, one.prompt_tokens) == (2, 1, 2 * len(PROMPT))
        assert 0 < one.cached_tokens < len(PROMPT)

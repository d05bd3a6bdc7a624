"""Residency of fake replicas: by events, by `cached_tokens`, and what is forgotten."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from kvproxy.core import PUBLIC, NoPages, PagesFound
from kvproxy.events import Started
from kvproxy.fake_replica.replica_options import ReplicaOptions
from kvproxy.residency.kv_events import BlocksStored, ReplicaChange
from tests.backends.fleet.conftest import FleetRig, OpenRig
from tests.backends.fleet.fleet_requests import ALICE, BOB, a_generation, answer_of, document_prompt
from tests.server.doubles import eventually

DOCUMENT = tuple(range(100, 300))
PROMPT = document_prompt(DOCUMENT, (1, 2, 3))


def expected(fleet: FleetRig) -> int:
    with fleet.backend.hold(PROMPT, ALICE) as lookup:
        return lookup.tokens if isinstance(lookup, PagesFound) else 0


async def test_an_eviction_is_known_and_told_with_its_time(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        await fleet.backend.keep(DOCUMENT, PUBLIC)
        await eventually(lambda: fleet.backend._residency.events_known("a"))
        assert expected(fleet) == 192
        await fleet["a"].evict()
        await eventually(lambda: expected(fleet) == 0)
        with fleet.backend.hold(PROMPT, ALICE) as lookup:
            assert isinstance(lookup, NoPages) and lookup.evicted
            assert lookup.choice is not None and lookup.choice.cause == "evicted"
            assert lookup.choice.detail.startswith("evicted at 20") and lookup.choice.detail.endswith("Z")
        assert fleet.backend.figures().replicas[0].event_lag_s is not None


async def test_blocks_of_others_are_known_by_their_events(rig: OpenRig) -> None:
    """Another proxy published the document: this one learns of it by events alone."""
    async with rig(2) as fleet:
        salt = fleet.backend._salts.of_prompt(PROMPT, ALICE)
        other = fleet.backend._replicas.find("b")
        assert other is not None
        body = {"model": "fake-model", "prompt": list(DOCUMENT), "max_tokens": 1, "cache_salt": salt}
        await other.client.post("/v1/completions", body)
        await eventually(lambda: expected(fleet) == 192)
        with fleet.backend.hold(PROMPT, BOB) as lookup:
            assert lookup.choice is not None and lookup.choice.replica == "b"


async def test_without_events_cached_tokens_tell(rig: OpenRig) -> None:
    async with rig(2, events="off") as fleet:
        assert expected(fleet) == 0
        await answer_of(fleet.backend, a_generation(PROMPT))
        assert expected(fleet) == 192
        assert (await answer_of(fleet.backend, a_generation(PROMPT))).cached == 192


async def test_a_promise_that_was_not_kept_is_counted_and_the_blocks_are_there_again(rig: OpenRig) -> None:
    async with rig(1, events="off") as fleet:
        await answer_of(fleet.backend, a_generation(PROMPT))
        await fleet["a"].evict()
        found = await answer_of(fleet.backend, a_generation(PROMPT))
        assert found.started is not None and (found.started.cached_tokens, found.cached) == (192, 0)
        assert fleet.backend.figures().overruled == 1
        assert expected(fleet) == 192  # this very request computed them


async def test_a_replica_that_never_keeps_its_promises_is_not_believed(rig: OpenRig) -> None:
    async with rig(1, events="off") as fleet:
        fleet["a"].faults.cached_off_by = -10_000
        for _ in range(4):
            await answer_of(fleet.backend, a_generation(PROMPT))
        assert expected(fleet) == 0
        fleet["a"].faults.cached_off_by = None
        await answer_of(fleet.backend, a_generation(PROMPT))
        assert expected(fleet) == 192


async def test_an_impossible_count_teaches_nothing(rig: OpenRig, caplog: pytest.LogCaptureFixture) -> None:
    async with rig(1, events="off") as fleet:
        fleet["a"].faults.cached_off_by = 1_000_000
        found = await answer_of(fleet.backend, a_generation(PROMPT))
        assert found.cached == len(PROMPT.token_ids) and "counts 1000000 cached of 203" in caplog.text
        assert fleet.backend._residency.block_of("a") == 16
        assert expected(fleet) == 192


async def test_more_than_expected_is_present_from_then_on(rig: OpenRig) -> None:
    async with rig(1, events="off") as fleet:
        await answer_of(fleet.backend, a_generation(PROMPT))
        fleet.backend._residency.lost("a")
        assert expected(fleet) == 0
        found = await answer_of(fleet.backend, a_generation(PROMPT))
        assert found.started is not None and (found.started.cached_tokens, found.cached) == (0, 192)
        assert expected(fleet) == 192


async def test_a_replica_that_does_not_count_is_named_once_and_nothing_is_billed_as_cached(
    rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(1, ReplicaOptions(prompt_tokens_details=False)) as fleet:
        for _ in range(3):
            assert (await answer_of(fleet.backend, a_generation(PROMPT))).cached == 0
    assert caplog.text.count("--enable-prompt-tokens-details") == 1


async def test_a_replica_that_is_started_again_holds_nothing(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        await fleet.backend.keep(DOCUMENT, PUBLIC)
        before = fleet.backend.figures().replicas[0].fingerprint
        await fleet["a"].restart()
        found = await answer_of(fleet.backend, a_generation(tuple(range(50))))
        assert found.finished is not None
        assert fleet.backend.figures().replicas[0].fingerprint != before
        assert expected(fleet) == 0


async def test_the_same_tokens_under_another_salt_of_the_caller_are_named(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        private = a_generation(DOCUMENT)
        await answer_of(fleet.backend, private)
        with fleet.backend.hold(PROMPT, ALICE) as lookup:
            assert lookup.choice is not None and lookup.choice.cause == "other-salt"
        with fleet.backend.hold(PROMPT, BOB) as lookup:
            assert (
                lookup.choice is not None and lookup.choice.cause == "not-on-replica"
            )  # Alice's are not his to know


async def test_a_document_shorter_than_a_block_says_so(rig: OpenRig) -> None:
    async with rig(1, ReplicaOptions(block_tokens=256, blocks=64)) as fleet:
        with fleet.backend.hold(PROMPT, ALICE) as lookup:
            assert isinstance(lookup, NoPages) and lookup.choice is not None
            assert lookup.choice.cause == "rounded-to-block"
            assert lookup.choice.detail == "200 of 200 tokens recomputed: block 256"


async def test_residency_has_replica_tier_and_time(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        kept = await fleet.backend.keep(DOCUMENT, PUBLIC)
        (one,) = fleet.backend.replicas_of(kept, ALICE)
        assert (one.replica, one.tokens, one.tier) == ("a", 192, "device") and one.since is not None
        assert fleet.backend.residency(kept, BOB).memory == 192
        assert fleet.backend.in_memory(kept, PUBLIC) == 192
        cost = fleet.backend.cost_of(kept, PUBLIC)
        assert cost.compute_s > 0


async def test_nothing_is_kept_of_a_replica_that_has_left(rig: OpenRig) -> None:
    """Its last answers end behind it, and events of it wait on their thread."""
    async with rig(2, ReplicaOptions(decode_s=0.01)) as fleet:
        fleet["a"].say_next("one two three four five six")
        fleet["b"].say_next("one two three four five six")
        residency, replicas = fleet.backend._residency, fleet.backend._replicas
        async with aclosing(fleet.backend.generate(a_generation(PROMPT))) as events:
            started = await anext(events)
            assert isinstance(started, Started) and started.choice is not None
            left = started.choice.replica
            replicas.remove(left)
            async for _ in events:
                pass
        residency.take(ReplicaChange(left, (BlocksStored((1, 2, 3)),)))
        residency.set_block(left, 32)
        assert residency.blocks == 0 and residency.block_tokens == 16
        assert left not in replicas.speeds.samples()

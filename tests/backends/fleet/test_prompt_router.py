"""Choices of a replica with their reasons, on a fleet whose residency the test writes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from kvproxy.backends.fleet.cache_salts import CacheSalts
from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.fleet_replicas import FleetReplicas
from kvproxy.backends.fleet.fleet_residency import FleetResidency, ReportedCache
from kvproxy.backends.fleet.prompt_router import PromptRouter
from kvproxy.backends.fleet.replica_client import ReplicaClient
from kvproxy.backends.fleet.replica_facts import ReplicaFacts
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.core import PUBLIC
from kvproxy.routing.routed_prompt import RoutingPolicy
from tests.backends.fleet.fleet_requests import ALICE, a_generation, document_prompt

PROMPT = document_prompt(tuple(range(1000)), (1, 2, 3))
SALTS = CacheSalts(b"k" * 32, "m")


class RouterRig:
    def __init__(self, session: aiohttp.ClientSession, names: str = "abc") -> None:
        self.replicas = FleetReplicas(clock=lambda: 0.0, chance=lambda: 0.5)
        self.residency = FleetResidency()
        for name in names:
            replica = FleetReplica(ReplicaClient(session, name, f"http://{name}:1"))
            replica.facts = ReplicaFacts("m")
            self.replicas.add(replica)
        self.router = PromptRouter(self.replicas, self.residency, SALTS, RoutingPolicy(), "print")

    def holds(self, name: str, tokens: int | None = None) -> None:
        salt = SALTS.of_prompt(PROMPT, ALICE)
        self.residency.learn(PROMPT.token_ids[:tokens], salt, ReportedCache(name, 0, 0))


@pytest.fixture
async def made() -> AsyncIterator[RouterRig]:
    async with aiohttp.ClientSession() as session:
        yield RouterRig(session)


async def test_the_holder_is_chosen_over_the_ring(made: RouterRig) -> None:
    home = made.router.plan(PROMPT, ALICE).choice.replica
    other = next(name for name in "abc" if name != home)
    made.holds(other)
    plan = made.router.plan(PROMPT, ALICE)
    assert (plan.choice.replica, plan.choice.expected_tokens, plan.choice.cause) == (other, 992, None)
    assert plan.choice.detail == "8 of 1000 tokens recomputed: block 16"
    assert set(plan.order) == set("abc") - {other}


async def test_a_holder_with_too_much_to_do_is_left_and_that_is_the_cause(made: RouterRig) -> None:
    made.holds("a")
    made.replicas.sent("a", 10_000_000)
    plan = made.router.plan(PROMPT, ALICE)
    assert plan.choice.replica != "a" and plan.choice.cause == "spilled-for-load"


async def test_a_prompt_that_is_being_computed_is_followed(made: RouterRig) -> None:
    plan = made.router.plan(PROMPT, ALICE)
    other = next(name for name in "abc" if name != plan.choice.replica)
    made.replicas.pending.begin(plan.shared.key, other, 992)
    assert made.router.plan(PROMPT, ALICE).choice.replica == other


async def test_what_failed_is_avoided_and_a_suspect_is_the_last_resort(made: RouterRig) -> None:
    first = made.router.plan(PROMPT, ALICE).choice.replica
    assert made.router.plan(PROMPT, ALICE, avoid={first}).choice.replica != first
    for name in "abc":
        made.replicas.failed(ReplicaFailed(name, "broke-off", "reset"))
    assert made.router.plan(PROMPT, ALICE).choice.replica in "abc"
    nowhere = made.router.plan(PROMPT, ALICE, avoid=set("abc"))
    assert (nowhere.choice.replica, nowhere.choice.cause) == ("", "engine-failed")


async def test_a_salt_that_is_used_once_finds_nothing(made: RouterRig) -> None:
    made.holds("a")
    plan = made.router.plan(PROMPT, ALICE, once="x" * 43)
    assert (plan.salt, plan.choice.expected_tokens) == ("x" * 43, 0)


async def test_the_whole_prompt_is_never_expected_to_be_there(made: RouterRig) -> None:
    whole = a_generation(tuple(range(160))).prompt
    made.residency.learn(whole.token_ids, SALTS.of_prompt(whole, ALICE), ReportedCache("a", 0, 0))
    assert (
        made.router.plan(whole, ALICE).choice.expected_tokens == 144
    )  # its last token is computed by every read


async def test_publishing_and_reading_have_one_key(made: RouterRig) -> None:
    from kvproxy.backends.fleet.affinity_key import prefix_key

    key = made.router.plan(PROMPT, ALICE).key
    assert key == prefix_key(PROMPT.token_ids[:1000], SALTS.of_scope(PUBLIC, "anyone"))
    assert key == made.router.plan(document_prompt(tuple(range(1000)), (9, 9)), ALICE).key
    assert key != made.router.plan(document_prompt(tuple(range(1, 1001)), (9, 9)), ALICE).key
    assert len(key) <= 40 and key.isascii()


async def test_a_conversation_keeps_its_key_from_turn_to_turn(made: RouterRig) -> None:
    turns = [a_generation(tuple(range(n))).prompt for n in (300, 700, 2000)]
    assert len({made.router.plan(turn, ALICE).key for turn in turns}) == 1

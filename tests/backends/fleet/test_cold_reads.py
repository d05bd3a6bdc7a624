from __future__ import annotations

import pytest

from kvproxy.backends.fleet.cold_reads import ReadAnswer, compared
from kvproxy.errors import HitLost, InvalidRequest
from kvproxy.fake_replica.replica_options import ReplicaOptions
from tests.backends.fleet.conftest import OpenRig
from tests.backends.fleet.fleet_requests import ALICE, a_generation, document_prompt

PROMPT = document_prompt(tuple(range(100, 300)), (1, 2, 3))


def read(*tokens: int, logprob: float = -1.0, cached: int = 0) -> ReadAnswer:
    return ReadAnswer(tokens, tuple({t: logprob, 99: -4.0} for t in tokens), cached)


def test_equal_answers_agree_and_their_distance_is_told() -> None:
    found = compared("a", 10, read(1, 2, 3, cached=8), read(1, 2, 3, logprob=-1.25), forced=True)
    assert found.agreed and found.agreement == 1.0
    assert (found.tokens, found.positions, found.largest_difference) == (3, 3, 0.25)
    assert (found.cached_tokens, found.cold_cached_tokens, found.forced) == (8, 0, True)


def test_nothing_is_compared_behind_the_first_other_token() -> None:
    found = compared("a", 10, read(1, 2, 3, 4), read(1, 7, 3, 4, logprob=-2.0), forced=False)
    assert not found.agreed and found.agreement == 0.25
    assert (found.equal_tokens, found.positions) == (1, 2)
    assert found.largest_difference == 1.0


@pytest.mark.parametrize("scale_out", [True, False])
async def test_a_hit_is_compared_with_a_cold_read(rig: OpenRig, scale_out: bool) -> None:
    async with rig(1, ReplicaOptions(scale_out=scale_out)) as fleet:
        progress: list[tuple[int, int]] = []
        found = await fleet.backend.compare(PROMPT, ALICE, 8, lambda *at: progress.append(at))
        assert (found.cached_tokens, found.cold_cached_tokens, found.forced) == (192, 0, scale_out)
        assert found.agreed and found.tokens == 8 and found.largest_difference == 0.0
        assert progress[-1] == (609, 609)
        assert fleet.backend.ready() is None and fleet.backend.figures().retries == {}


@pytest.mark.parametrize("scale_out", [True, False])
async def test_a_cold_read_leaves_nothing_that_anybody_finds(rig: OpenRig, scale_out: bool) -> None:
    private = tuple(range(1000, 1300))
    async with rig(1, ReplicaOptions(scale_out=scale_out)) as fleet:
        prompt = a_generation(private).prompt
        await fleet.backend.compare(prompt, ALICE, 8)
        *hits, cold = (one.salt for one in fleet["a"].requests)
        assert hits == [hits[0]] * 2 and cold and cold != hits[0]
        replica = fleet.backend._replicas.find("a")
        assert replica is not None
        for salt in ({}, {"cache_salt": "guessed"}):
            direct = {"model": "fake-model", "prompt": private, "max_tokens": 1, **salt}
            found = await replica.client.post("/v1/completions", direct)
            assert found["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
        await fleet.backend.compare(prompt, ALICE, 8)
        assert fleet["a"].requests[-1].salt not in (cold, hits[0]), "each cold read has another salt"


async def test_a_replica_that_takes_nothing_from_its_cache_has_no_hit_to_compare(rig: OpenRig) -> None:
    async with rig(1) as fleet:
        with pytest.raises(HitLost):
            await fleet.backend.compare(a_generation((1, 2, 3)).prompt, ALICE, 4)


async def test_sglangs_answers_are_not_compared_and_its_replicas_not_blamed(rig: OpenRig) -> None:
    async with rig(1, kind="sglang", events="off") as fleet:
        with pytest.raises(InvalidRequest, match="SGLang"):
            await fleet.backend.compare(PROMPT, ALICE, 4)
        assert fleet.backend.ready() is None and not fleet["a"].requests

from __future__ import annotations

from contextlib import aclosing

import pytest

from kvproxy.backends.base import Generation, Kept, NoPages, PagesFound
from kvproxy.backends.fake.expecting_backend import ExpectingBackend
from kvproxy.core import PUBLIC, Caller, MissCause, Prompt, Sampling
from kvproxy.errors import HitLost
from kvproxy.events import Finished, Started

IDS = tuple(range(1003))
PROMPT = Prompt((*IDS, 5000))
ALICE = Caller("alice", "tenant:alice")


async def published() -> tuple[ExpectingBackend, Kept]:
    backend = ExpectingBackend()
    return backend, await backend.keep(IDS, PUBLIC)


async def test_it_expects_whole_blocks_and_reports_them_at_the_end() -> None:
    backend, _ = await published()
    with backend.hold(PROMPT, ALICE) as found:
        assert isinstance(found, PagesFound) and found.choice is not None
        assert (found.tokens, found.choice.expected_tokens, found.choice.block_tokens) == (896, 896, 128)
    generation = Generation("1", PROMPT, Sampling(), ALICE, choice=found.choice)
    async with aclosing(backend.generate(generation)) as events:
        seen = [event async for event in events]
    assert isinstance(seen[0], Started) and isinstance(seen[-1], Finished)
    assert (seen[0].cached_tokens, seen[0].confirmed, seen[0].choice) == (896, False, found.choice)
    assert seen[-1].usage.cached_tokens == 896
    assert backend.check() == []


async def test_what_is_planned_is_told() -> None:
    backend, _ = await published()
    backend.expected, backend.cause, backend.detail, backend.reported = (
        0,
        MissCause.EVICTED,
        "a minute ago",
        384,
    )
    with backend.hold(PROMPT, ALICE) as found:
        assert isinstance(found, NoPages) and found.choice is not None
        assert (found.choice.cause, found.choice.detail) == (MissCause.EVICTED, "a minute ago")
    async with aclosing(backend.generate(Generation("1", PROMPT, Sampling(), ALICE))) as events:
        *_, last = [event async for event in events]
    assert isinstance(last, Finished) and last.usage.cached_tokens == 384


async def test_residency_and_comparisons_are_those_of_what_it_holds() -> None:
    backend, kept = await published()
    [held] = backend.replicas_of(kept, ALICE)
    assert (held.replica, held.tokens) == ("replica-a", 896)
    assert (await backend.compare(PROMPT, ALICE, 8)).agreed
    backend.difference = 0.5
    compared = await backend.compare(PROMPT, ALICE, 8)
    assert (compared.equal_tokens, compared.largest_difference, compared.cached_tokens) == (7, 0.5, 896)
    backend.evict()
    assert backend.replicas_of(kept, ALICE) == ()
    with pytest.raises(HitLost):
        await backend.compare(PROMPT, ALICE, 8)

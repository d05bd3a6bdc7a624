"""The event feed and the index against the fake replica and vLLM: what a replica says is what is found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kvproxy.residency.block_hashes import BlockHashes
from kvproxy.residency.event_feed import EventFeed
from kvproxy.residency.feed_source import FeedSource, reachable_endpoint
from kvproxy.residency.residency_index import ResidencyIndex
from tests.fake_replica.contract.asked_replica import BLOCK, BLOCKS, AskedReplica, cached

HASHES = BlockHashes(BLOCK)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for is told by another process
            await asyncio.sleep(0.02)


def source(replica: AskedReplica) -> FeedSource:
    """The source that ``/kv_event_sources`` names."""
    told = replica.get("/kv_event_sources").json()["0"]
    endpoint, replay = (reachable_endpoint(told[key], "127.0.0.1") for key in ("endpoint", "replay_endpoint"))
    return FeedSource("asked", endpoint, replay)


@pytest.mark.parametrize("salt", [None, "c2FsdA-_"])
async def test_a_prompt_is_found_by_hashes_that_are_computed_here(
    replica: AskedReplica, salt: str | None
) -> None:
    index, prompt = ResidencyIndex(), replica.prompt(70)
    chain = HASHES.chain(prompt, salt)
    async with EventFeed(index.take) as feed:
        feed.follow(source(replica))
        await asyncio.to_thread(replica.complete, prompt, cache_salt=salt)
        await until(lambda: index.longest(chain) == {"asked": 2})
        assert index.longest(HASHES.chain(prompt, "other")) == {}
        assert index.held_since("asked", chain[0]) is not None
        assert index.residencies(chain, BLOCK)[0].tier == "device"
        again = await asyncio.to_thread(replica.complete, prompt, cache_salt=salt)
        assert cached(again) == 2 * BLOCK
        await until(lambda: feed.status("asked").same_hashes is True)
        assert feed.status("asked").block_tokens == BLOCK


async def test_a_late_feed_learns_by_replay_what_is_there(replica: AskedReplica) -> None:
    prompt, index = replica.prompt(100), ResidencyIndex()
    await asyncio.to_thread(replica.complete, prompt, cache_salt="late")
    chain = HASHES.chain(prompt, "late")
    async with EventFeed(index.take) as feed:
        feed.follow(source(replica))
        await until(lambda: index.longest(chain) == {"asked": 3})
        await until(lambda: feed.status("asked").up_to_date)
        assert (feed.status("asked").losses, feed.status("asked").malformed) == (0, 0)


async def test_evicted_blocks_are_missed_and_their_time_is_told(replica: AskedReplica) -> None:
    index, prompt = ResidencyIndex(), replica.prompt(5 * BLOCK + 1)
    chain = HASHES.chain(prompt, "first")
    index.watch(chain)
    async with EventFeed(index.take) as feed:
        feed.follow(source(replica))
        await asyncio.to_thread(replica.complete, prompt, cache_salt="first", max_tokens=1)
        await until(lambda: index.longest(chain) == {"asked": 5})
        for _ in range(4):
            other = replica.prompt((BLOCKS // 3) * BLOCK)
            await asyncio.to_thread(replica.complete, other, max_tokens=1)
        await until(lambda: index.longest(chain).get("asked", 0) < 5)
        await until(lambda: index.longest(chain) == {})
        assert index.evicted_at("asked", chain[-1]) is not None
        assert cached(await asyncio.to_thread(replica.complete, prompt, cache_salt="first")) == 0
        await until(lambda: index.longest(chain) == {"asked": 5})
        assert index.evicted_at("asked", chain[-1]) is None


async def test_a_reset_is_believed_with_the_next_step(replica: AskedReplica) -> None:
    index, prompt, other = ResidencyIndex(), replica.prompt(70), replica.prompt(40)
    chain = HASHES.chain(prompt)
    async with EventFeed(index.take) as feed:
        feed.follow(source(replica))
        await asyncio.to_thread(replica.complete, prompt)
        await until(lambda: index.longest(chain) == {"asked": 2})
        assert replica.post("/reset_prefix_cache", {}).json() == {"success": True}
        await asyncio.to_thread(replica.complete, other)
        await until(lambda: index.longest(HASHES.chain(other)) == {"asked": 1})
        assert index.longest(chain) == {}

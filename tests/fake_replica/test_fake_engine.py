"""The queue of the fake engine, and blocks of running requests."""

from __future__ import annotations

import asyncio

import aiohttp

from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_options import ReplicaOptions
from tests.fake_replica.asking import PROMPT, ask, cached


async def test_more_requests_than_may_run_wait_in_turn(http: aiohttp.ClientSession) -> None:
    options = ReplicaOptions(most_running=1, blocks=64)
    async with FakeReplica(options) as replica:
        answers = await asyncio.gather(
            *(ask(http, replica, prompt=[*PROMPT[:40], number]) for number in range(6))
        )
        assert [cached(answer) for answer in answers].count(0) == 1
        assert replica.engine.counts.finished == 6


async def test_blocks_of_running_requests_stay(http: aiohttp.ClientSession) -> None:
    async with FakeReplica(ReplicaOptions(blocks=9, block_tokens=16)) as replica:
        replica.faults.stall_after_tokens = 1
        body = {"prompt": PROMPT[:60], "max_tokens": 4, "stream": True}
        async with http.post(f"{replica.url}/v1/completions", json=body) as answer:
            await answer.content.readline()
            assert await replica.evict() == 0
            replica.faults.stall_after_tokens = None
            # Eight blocks, four of them running: the next prompt's four fit, and take the place of nothing.
            await ask(http, replica, prompt=PROMPT[30:90], max_tokens=2)
            assert len(replica.engine.cache.cached_blocks()) == 6

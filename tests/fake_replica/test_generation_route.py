"""Generations that break off."""

from __future__ import annotations

import aiohttp
import pytest

from kvproxy.fake_replica.fake_replica import FakeReplica
from tests.fake_replica.asking import PROMPT
from tests.server.doubles import eventually


async def test_a_reset_mid_stream_breaks_off_after_so_many_tokens(
    replica: FakeReplica, http: aiohttp.ClientSession
) -> None:
    replica.faults.reset_after_tokens = 3
    body = {"prompt": PROMPT, "max_tokens": 8, "stream": True}
    seen = b""
    with pytest.raises(aiohttp.ClientError):
        async with http.post(f"{replica.url}/v1/completions", json=body) as answer:
            async for line in answer.content:
                seen += line
    assert seen.count(b"data: ") <= 3
    assert replica.engine.running == 0


async def test_a_client_that_leaves_frees_its_blocks(
    replica: FakeReplica, http: aiohttp.ClientSession
) -> None:
    replica.faults.stall_after_tokens = 2
    body = {"prompt": PROMPT, "stream": True}
    async with http.post(f"{replica.url}/v1/completions", json=body) as answer:
        await answer.content.readline()
        assert replica.engine.running == 1
    await eventually(lambda: replica.engine.running == 0)
    assert replica.engine.counts.aborted == 1

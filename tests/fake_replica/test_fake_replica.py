"""A fake replica as a whole: its cache, its restarts."""

from __future__ import annotations

import aiohttp
import pytest

from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_options import ReplicaOptions
from tests.fake_replica.asking import PROMPT, ask, cached


async def test_a_second_read_is_cached_in_whole_blocks(
    replica: FakeReplica, http: aiohttp.ClientSession
) -> None:
    first, second = await ask(http, replica), await ask(http, replica)
    assert cached(first) == 0
    assert cached(second) == 96
    assert first["choices"] == second["choices"]
    assert first["usage"]["completion_tokens"] == 8


async def test_the_last_token_of_a_prompt_is_always_computed(
    replica: FakeReplica, http: aiohttp.ClientSession
) -> None:
    await ask(http, replica, prompt=PROMPT[:64])
    assert cached(await ask(http, replica, prompt=PROMPT[:64])) == 48


async def test_salts_share_nothing(replica: FakeReplica, http: aiohttp.ClientSession) -> None:
    await ask(http, replica)
    assert cached(await ask(http, replica, cache_salt="a")) == 0
    assert cached(await ask(http, replica, cache_salt="a")) == 96


async def test_every_replica_gives_the_same_answer(replica: FakeReplica, http: aiohttp.ClientSession) -> None:
    async with FakeReplica(ReplicaOptions(block_tokens=4)) as other:
        assert (await ask(http, replica))["choices"] == (await ask(http, other))["choices"]


async def test_a_restart_changes_the_fingerprint_and_empties_the_cache(
    replica: FakeReplica, http: aiohttp.ClientSession
) -> None:
    before = await ask(http, replica)
    await replica.restart()
    after = await ask(http, replica)
    assert before["system_fingerprint"] != after["system_fingerprint"]
    assert cached(after) == 0
    assert before["choices"] == after["choices"]


async def test_refused_connections_and_back(replica: FakeReplica, http: aiohttp.ClientSession) -> None:
    await ask(http, replica)
    await replica.refuse()
    with pytest.raises(aiohttp.ClientConnectionError):
        await ask(http, replica)
    await replica.accept()
    assert cached(await ask(http, replica)) == 96

"""Faults of answers."""

from __future__ import annotations

import aiohttp

from kvproxy.fake_replica.fake_replica import FakeReplica
from tests.fake_replica.asking import PROMPT, ask, cached


async def test_lies_about_cached_tokens(replica: FakeReplica, http: aiohttp.ClientSession) -> None:
    await ask(http, replica)
    replica.faults.cached_off_by = 16
    assert cached(await ask(http, replica)) == 112
    replica.faults.cached_off_by = -200
    assert cached(await ask(http, replica)) == 0
    replica.faults.cached_null = True
    assert cached(await ask(http, replica)) is None


async def test_failures_are_counted_and_say_when_to_come_again(
    replica: FakeReplica, http: aiohttp.ClientSession
) -> None:
    replica.faults.change({"fail_status": 503, "fail_requests": 1, "retry_after_s": 7})
    async with http.post(f"{replica.url}/v1/completions", json={"prompt": PROMPT}) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
    await ask(http, replica)

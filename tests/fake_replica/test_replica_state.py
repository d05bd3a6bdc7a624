"""Models, and the requests that were seen."""

from __future__ import annotations

import aiohttp

from kvproxy.fake_replica.fake_replica import FakeReplica
from tests.fake_replica.asking import PROMPT, ask, cached


async def test_another_model_is_not_found(replica: FakeReplica, http: aiohttp.ClientSession) -> None:
    body = {"model": "other", "prompt": PROMPT}
    async with http.post(f"{replica.url}/v1/completions", json=body) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["type"] == "NotFoundError"


async def test_faults_and_state_over_http(replica: FakeReplica, http: aiohttp.ClientSession) -> None:
    await ask(http, replica)
    wanted = {"evict": 2, "say": ["planned"], "cached_null": True}
    async with http.post(f"{replica.url}/fake/faults", json=wanted) as answer:
        assert (await answer.json())["evicted"] == 2
    told = await ask(http, replica, max_tokens=20)
    assert (told["choices"][0]["text"], cached(told)) == ("planned", None)
    async with http.get(f"{replica.url}/fake/state") as answer:
        state = await answer.json()
    assert [one["max_tokens"] for one in state["requests"]] == [8, 20]
    async with http.post(f"{replica.url}/fake/faults", json={"no_such_fault": 1}) as answer:
        assert answer.status == 400

"""Keys and unknown paths of a fake replica."""

from __future__ import annotations

import aiohttp

from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_options import ReplicaOptions


async def test_a_key_is_asked_for_where_there_is_one(http: aiohttp.ClientSession) -> None:
    async with FakeReplica(ReplicaOptions(api_key="secret")) as replica:
        async with http.get(f"{replica.url}/v1/models") as answer:
            assert (answer.status, await answer.json()) == (401, {"error": "Unauthorized"})
        headers = {"Authorization": "Bearer secret"}
        async with http.get(f"{replica.url}/v1/models", headers=headers) as answer:
            assert answer.status == 200
        async with http.get(f"{replica.url}/health") as answer:
            assert answer.status == 200

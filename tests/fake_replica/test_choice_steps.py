"""Several choices of one request."""

from __future__ import annotations

import aiohttp

from kvproxy.fake_replica.fake_replica import FakeReplica
from tests.fake_replica.asking import ask, chunks


async def test_choices_of_one_request_differ_and_all_come(
    replica: FakeReplica, http: aiohttp.ClientSession
) -> None:
    whole = await ask(http, replica, n=3)
    texts = [choice["text"] for choice in whole["choices"]]
    assert len(set(texts)) == 3
    said = ["", "", ""]
    for one in await chunks(http, replica, n=3):
        said[one["choices"][0]["index"]] += one["choices"][0]["text"]
    assert said == texts

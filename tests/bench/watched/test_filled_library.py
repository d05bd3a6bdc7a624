from __future__ import annotations

import aiohttp

from kvproxy.bench.watched.filled_library import PUBLISHED
from kvproxy.bench.watched.watched_server import KEYS


async def test_its_library_has_what_the_plan_says(watched_session: aiohttp.ClientSession) -> None:
    ids = {}
    for tenant, key in KEYS.items():
        headers = {"Authorization": f"Bearer {key}"}
        async with watched_session.get("/kv/v1/documents", headers=headers) as answer:
            ids[tenant] = {d["id"]: d for d in (await answer.json())["data"]}
    assert len(ids["owner"]) == PUBLISHED + 40 and len(ids["reader"]) == PUBLISHED + 40 + 30
    assert ids["owner"]["a/published-00"]["framings"], "these have pages"
    assert 0 < sum(d["reads"] > 0 for d in ids["owner"].values()) < PUBLISHED
    async with watched_session.get("/bench/stall", headers=headers) as answer:
        assert (await answer.json())["wall_s"] == 0.0, "it is not watched here"

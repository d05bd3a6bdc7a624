from __future__ import annotations

import aiohttp
import pytest

from kvproxy.bench.load import WrongAnswer
from kvproxy.bench.watched.dashboard_cost import cpu_s
from kvproxy.bench.watched.steady_load import SteadyLoad


async def test_hits_misses_and_refusals_come_at_a_rate(watched_session: aiohttp.ClientSession) -> None:
    before = await cpu_s(watched_session)
    load = SteadyLoad(watched_session, 50.0)
    assert await load.run(0.4) == 20
    await load.one_by_one(8)
    assert await SteadyLoad(watched_session, 0.0).run(0.01) == 0
    assert await cpu_s(watched_session) > before


async def test_an_answer_that_is_no_hit_is_an_error(watched_session: aiohttp.ClientSession) -> None:
    load = SteadyLoad(watched_session, 1.0)
    load._bodies[0] = load._bodies[4]
    with pytest.raises(WrongAnswer, match="a request for a hit got 200"):
        await load.one_by_one(1)

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kvproxy.bench.overload import Crowd, Tally, overload
from kvproxy.bench.soak import SoakPlan, _result, print_soak

PLAN = SoakPlan(seconds=100.0)
STEADY = [(float(s), 1000) for s in range(101)]
AUDIT: dict[str, Any] = {"faults": [], "occupancy": {}}


def tally(refused: int = 9, **ended: int) -> Tally:
    return Tally(Counter({"answered": 5, "left": 3, "429": refused, **ended}))


def result(
    samples: list[tuple[float, int]] = STEADY, audit: Any = AUDIT, status: int = 0, **ended: int
) -> Any:
    return _result(PLAN, "m", 10, samples, tally(**ended), status, audit)


def test_sound_is_all_of_it_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert result()["ok"]
    assert not result(wrong=1)["ok"]
    assert not result(audit=None)["ok"]
    assert not result(audit={"faults": ["page 3 has 2 holders"], "occupancy": {}})["ok"]
    assert not result(status=1)["ok"]
    assert not result(refused=0)["ok"], "that was no overload"
    assert not result(answered=0)["ok"]
    print_soak(result(audit={"faults": ["page 3 has 2 holders"], "occupancy": {}}))
    out = capsys.readouterr().out
    assert "FAULT: page 3 has 2 holders" in out and "NOT sound" in out


@pytest.mark.parametrize(("end", "ok"), [(1049, True), (1051, False), (951, True), (940, False)])
def test_memory_at_the_end_is_compared_with_after_the_first_part(end: int, ok: bool) -> None:
    samples = [(float(s), 500 if s < 30 else 1000 if s < 80 else end) for s in range(101)]
    got = result(samples)
    assert got["rss_first"] == 1000 and got["rss_last"] == end and got["ok"] is ok


CROWD = Crowd("", "m", ["k" * 16], ["doc"], ["some", "words"], clients=4, longest_characters=50)


async def crowd_on(handler: Any, seconds: float = 0.3) -> Tally:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    async with TestServer(app) as server:
        return await overload(replace(CROWD, url=str(server.make_url("")).rstrip("/")), seconds)


async def test_refusals_count_only_with_a_time_to_come_back() -> None:
    async def polite(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "2"})

    async def rude(_: web.Request) -> web.Response:
        return web.Response(status=503)

    good = await crowd_on(polite)
    assert good.ended["429"] > 0 and not good.ended["wrong"]
    bad = await crowd_on(rude)
    assert bad.ended["wrong"] > 0 and not bad.ended["503"] and "Retry-After ''" in bad.wrong[0]


async def test_a_stream_that_breaks_off_is_wrong_and_a_whole_one_is_an_answer() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body["stream"]:
            return web.Response(text='data: {"error": {}}\n\n')
        usage = {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4}}
        return web.json_response({"usage": usage})

    seen = await crowd_on(answer)
    assert seen.ended["answered"] > 0 < seen.ended["wrong"]
    assert seen.cached_tokens * 10 == seen.prompt_tokens * 4 > 0


async def test_a_server_that_fails_is_noticed() -> None:
    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=500, text="oh")

    seen = await crowd_on(broken)
    assert seen.ended["wrong"] and len(seen.wrong) <= 5 and seen.wrong[0].startswith("500")

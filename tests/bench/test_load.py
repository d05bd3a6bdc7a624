from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kvproxy.bench import instant_upstream
from kvproxy.bench.load import Load, LoadTarget, Request, WrongAnswer, open_load, quantiles_ms

MESSAGES = [{"role": "user", "content": "hi"}]
WHOLE, STREAM = Request(MESSAGES, 3, stream=False), Request(MESSAGES, 3, stream=True)


class Seen:
    """A server around the mock upstream's handler that records each request's model and the most requests at once."""

    def __init__(self) -> None:
        self.models: list[str] = []
        self.most_at_once = self._at_once = 0
        self.cut = False
        self.headers = {"Server-Timing": "match;dur=9.0, proxy;dur=1.25", "Cache-Status": "kvproxy; hit"}

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        app.on_response_prepare.append(self._head)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.models.append((await request.json())["model"])
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(0.001)
            if self.cut:
                return web.Response(text="data: {}\n\n", content_type="text/event-stream")
            return await instant_upstream.chat_completions(request)
        finally:
            self._at_once -= 1

    async def _head(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self.headers)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def url(seen: Seen) -> AsyncIterator[str]:
    async with TestServer(seen.app()) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def load() -> AsyncIterator[Load]:
    async with open_load() as load:
        yield load


async def test_targets_take_turns_in_runs_whose_first_request_is_not_counted(
    load: Load, seen: Seen, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvproxy.bench.load.RUN", 2)
    monkeypatch.setattr("kvproxy.bench.load.SETTLE_S", 0.0)
    targets = [LoadTarget(name, url, name, "k") for name in "abc"]
    samples = await load.one_by_one(targets, WHOLE, 11)
    assert {name: len(of) for name, of in samples.of.items()} == {"a": 11, "b": 11, "c": 11}
    turns = ["".join(seen.models[i : i + 9]) for i in range(0, 45, 9)]  # the last round's runs are shorter
    assert all(set(zip(t[::3], t[1::3], t[2::3], strict=True)) == {(c,) * 3 for c in "abc"} for t in turns)
    assert sorted(seen.models[45:]) == sorted("aabbcc")
    assert len(set(turns)) > 1
    assert seen.most_at_once == 1
    assert samples.cpu_s == {}


async def test_a_stream_has_a_first_event_and_the_servers_own_time_is_read(load: Load, url: str) -> None:
    target = LoadTarget("a", url, "m", "k", cache_status="kvproxy; hit")
    (whole,) = (await load.one_by_one([target], WHOLE, 1)).of["a"]
    (streamed,) = (await load.one_by_one([target], STREAM, 1)).of["a"]
    assert whole.first_s is None
    assert streamed.first_s is not None and 0.001 < streamed.first_s <= streamed.total_s
    assert (whole.proxy_s, streamed.proxy_s) == (0.00125, 0.00125)


async def test_a_burst_keeps_so_many_requests_open(load: Load, seen: Seen, url: str) -> None:
    cpu = iter([10.0, 10.5, 20.0, 20.25])
    targets = [LoadTarget("a", url, "a", "k", cpu_s=lambda: next(cpu)), LoadTarget("b", url, "b", "k")]
    samples = await load.at_once(targets, STREAM, rounds=2, requests=9, concurrency=4)
    assert {name: len(of) for name, of in samples.of.items()} == {"a": 18, "b": 18}
    assert seen.most_at_once == 4
    assert samples.cpu_s == {"a": 0.75}
    assert all("".join(seen.models[i : i + 9]) in ("a" * 9, "b" * 9) for i in range(0, 36, 9))


@pytest.mark.parametrize("request_", [WHOLE, STREAM], ids=["whole", "streamed"])
async def test_what_a_target_says(load: Load, url: str, request_: Request) -> None:
    assert await load.text(LoadTarget("a", url, "m", "k"), request_) == instant_upstream.WORD * 3


async def test_an_answer_that_breaks_off_is_no_measurement(load: Load, seen: Seen, url: str) -> None:
    seen.cut = True
    with pytest.raises(WrongAnswer, match="a's answer ends with"):
        await load.one_by_one([LoadTarget("a", url, "m", "k")], STREAM, 1)


async def test_another_cache_status_is_no_measurement(load: Load, url: str) -> None:
    with pytest.raises(WrongAnswer, match="a answered with Cache-Status 'kvproxy; hit'"):
        await load.one_by_one([LoadTarget("a", url, "m", "k", cache_status="kvproxy; fwd")], WHOLE, 1)


async def test_a_refusal_is_no_measurement(load: Load, url: str) -> None:
    with pytest.raises(WrongAnswer, match="a answered with status 404"):
        await load.one_by_one([LoadTarget("a", f"{url}/elsewhere", "m", "k")], WHOLE, 1)


async def test_a_closed_port_is_no_measurement(load: Load, unused_tcp_port: int) -> None:
    with pytest.raises(WrongAnswer, match="a did not answer"):
        await load.one_by_one([LoadTarget("a", f"http://127.0.0.1:{unused_tcp_port}", "m", "k")], WHOLE, 1)


def test_quantiles_are_in_milliseconds() -> None:
    found = quantiles_ms([x / 1000 for x in range(101)])
    assert (round(found["p50"], 6), round(found["p99"], 6)) == (50.0, 99.0)

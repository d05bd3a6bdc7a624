from __future__ import annotations

import asyncio
import json

import pytest

from kvproxy.errors import ShuttingDown
from kvproxy.server.shutdown import Drain
from tests.server.doubles import ask, client_of, eventually, make_proxy

CHAT = "/v1/chat/completions"


async def test_streams_finish_while_new_requests_are_refused() -> None:
    proxy = make_proxy(token_delay_s=0.02)
    async with client_of(proxy) as http:
        running = await http.post(CHAT, json=ask(stream=True))
        proxy.drain.begin()
        ending = asyncio.create_task(proxy.drain.finish())
        refused = await http.post(CHAT, json=ask())
        assert refused.status == 503 and int(refused.headers["Retry-After"]) > 0
        assert (await refused.json())["error"]["code"] == "shutting_down"
        assert not ending.done()
        assert (await running.text()).endswith("data: [DONE]\n\n")
        await ending


async def test_what_takes_too_long_is_cut_with_an_honest_end() -> None:
    proxy = make_proxy(token_delay_s=0.02, drain_timeout_s=0.05)
    async with client_of(proxy) as http:
        stream = await http.post(CHAT, json=ask(stream=True))
        proxy.backend.token_delay_s = 30.0
        whole = asyncio.create_task(http.post(CHAT, json=ask()))
        await eventually(lambda: len(proxy.backend.running) == 2)
        proxy.drain.begin()
        await proxy.drain.finish()
        last = (await stream.text()).strip().split("\n\n")[-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "shutting_down"
        response = await whole
        assert response.status == 503
        assert (await response.json())["error"]["code"] == "shutting_down"


async def test_an_idle_drain_ends_at_once_and_refuses_requests() -> None:
    drain = Drain(timeout_s=30)
    drain.begin()
    await asyncio.wait_for(drain.finish(), 30)
    with pytest.raises(ShuttingDown), drain.track():
        raise AssertionError("let in")

from __future__ import annotations

import asyncio
import os
import signal
import socket

import aiohttp
import pytest

from kvproxy.errors import SetupError
from kvproxy.server.app import build_app
from kvproxy.server.run import serve
from tests.server.doubles import Proxy, ask, eventually, make_proxy


async def start(proxy: Proxy) -> tuple[asyncio.Task[None], str]:
    bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def announce(host: str, port: int) -> None:
        bound.set_result(f"http://{host}:{port}")

    task = asyncio.create_task(serve(build_app(proxy.components), "127.0.0.1", 0, proxy.drain, announce))
    return task, await bound


async def test_sigterm_lets_a_stream_finish_then_cleans_up() -> None:
    proxy = make_proxy(token_delay_s=0.02)
    task, url = await start(proxy)
    async with aiohttp.ClientSession() as session:
        stream = await session.post(f"{url}/v1/chat/completions", json=ask(stream=True))
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: proxy.drain.draining)
        assert (await session.get(f"{url}/health/ready")).status == 503
        assert (await stream.text()).endswith("data: [DONE]\n\n")
        await asyncio.wait_for(task, 30)
    assert proxy.events == ["start", "stop"]
    assert proxy.backend.check() == []


async def test_a_second_signal_does_not_wait() -> None:
    proxy = make_proxy(token_delay_s=30.0, drain_timeout_s=60.0)
    task, url = await start(proxy)
    async with aiohttp.ClientSession() as session:
        stream = await session.post(f"{url}/v1/chat/completions", json=ask(stream=True))
        os.kill(os.getpid(), signal.SIGINT)
        await eventually(lambda: proxy.drain.draining)
        assert not task.done()
        os.kill(os.getpid(), signal.SIGINT)
        assert "shutting_down" in await stream.text()
        await asyncio.wait_for(task, 30)
    assert proxy.events == ["start", "stop"]


async def test_a_client_that_leaves_is_noticed_by_the_real_runner() -> None:
    proxy = make_proxy(token_delay_s=30.0)
    task, url = await start(proxy)
    async with aiohttp.ClientSession() as session:
        stream = await session.post(f"{url}/v1/chat/completions", json=ask(stream=True))
        await stream.content.readuntil(b"\n\n")
        stream.close()
        await eventually(lambda: proxy.backend.check() == [])
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 30)


async def test_a_port_in_use_is_one_sentence() -> None:
    proxy = make_proxy()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"cannot listen on 127.0.0.1 port {port}"):
            await serve(build_app(proxy.components), "127.0.0.1", port, proxy.drain, lambda host, port: None)
    assert proxy.events == ["start", "stop"]

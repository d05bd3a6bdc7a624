"""The proxy over the fake backend on a port of its own, for clients in other processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from kvproxy.server.app import build_app
from kvproxy.server.middleware.connection import ConnectionRunner
from tests.server.doubles import Proxy


@contextmanager
def in_thread(proxy: Proxy) -> Iterator[str]:
    """Its base URL. It runs in a thread with a loop of its own until the block is left."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fake-proxy")
    thread.start()
    runner = ConnectionRunner(build_app(proxy.components))

    async def start() -> str:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return site.name

    async def stop() -> None:
        await runner.cleanup()

    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(timeout=60) and _url(runner)
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(timeout=60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=60)
        loop.close()


def _url(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"

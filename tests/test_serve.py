"""What ``kvproxy serve`` does beside answering; the rest of it is tested end to end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kvproxy import serve
from kvproxy.engine import build


async def test_freed_memory_is_given_back_again_and_again_off_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []
    twice = asyncio.Event()
    loop = asyncio.get_running_loop()

    def trimmed() -> None:
        threads.append(threading.get_ident())
        if len(threads) == 2:
            loop.call_soon_threadsafe(twice.set)

    monkeypatch.setattr(serve, "TRIM_S", 0.001)
    monkeypatch.setattr(build, "return_freed_memory", trimmed)
    async with serve._background() as background:
        background(serve._trim())
        await twice.wait()
    count = len(threads)
    assert threading.get_ident() not in threads
    await asyncio.sleep(0.01)
    assert len(threads) <= count + 1, "it ends with the server"


async def test_a_cancellation_that_comes_while_background_work_ends_is_heard() -> None:
    ending, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await go_on.wait()
            ended.set()

    async def life() -> None:
        async with serve._background() as begin:
            begin(slow_to_end())
            await asyncio.sleep(0)

    task = asyncio.ensure_future(life())
    await ending.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set(), "what it waits for has ended first"

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

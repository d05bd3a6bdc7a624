"""Work crosses to another loop and back: values, errors, context, and cancellation both ways."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from contextvars import ContextVar

import pytest

from kvproxy.backends.litellm.litellm_loop import AHEAD, UpstreamLoop
from tests.server.doubles import eventually

NAME: ContextVar[str] = ContextVar("name")


@pytest.fixture
async def loop() -> AsyncIterator[UpstreamLoop]:
    loop = UpstreamLoop()
    loop.acquire()
    yield loop
    await asyncio.to_thread(loop.release)
    assert all(thread.name != "upstreams" for thread in threading.enumerate())


async def test_a_call_runs_in_the_thread_and_sees_the_callers_context(loop: UpstreamLoop) -> None:
    async def called() -> tuple[str, str]:
        return threading.current_thread().name, NAME.get()

    NAME.set("mine")
    assert await loop.call(called) == ("upstreams", "mine")


async def test_errors_cross(loop: UpstreamLoop) -> None:
    async def called() -> None:
        raise KeyError("x")

    async def source() -> AsyncGenerator[int, None]:
        yield 1
        raise KeyError("x")

    with pytest.raises(KeyError):
        await loop.call(called)
    seen = []
    with pytest.raises(KeyError):
        async for item in loop.stream(source):
            seen.append(item)
    assert seen == [1]


async def test_a_cancelled_call_is_cancelled_in_the_thread(loop: UpstreamLoop) -> None:
    began, cancelled = threading.Event(), threading.Event()

    async def called() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    calling = asyncio.ensure_future(loop.call(called))
    await eventually(began.is_set)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await eventually(cancelled.is_set)


async def test_a_caller_is_not_held_by_a_busy_thread(loop: UpstreamLoop) -> None:
    began, busy = threading.Event(), threading.Event()

    async def called() -> None:
        began.set()
        busy.wait(20)

    calling = asyncio.ensure_future(loop.call(called))
    await eventually(began.is_set)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert not busy.is_set()
    busy.set()


async def test_a_stream_is_whole_and_in_order(loop: UpstreamLoop) -> None:
    async def source() -> AsyncGenerator[int, None]:
        for number in range(10 * AHEAD):
            yield number

    assert [item async for item in loop.stream(source)] == list(range(10 * AHEAD))


async def test_a_source_waits_for_its_reader_and_is_closed_where_it_was_opened(loop: UpstreamLoop) -> None:
    made: list[int] = []
    closed: list[asyncio.Task[None] | None] = []
    opened: list[asyncio.Task[None] | None] = []

    async def source() -> AsyncGenerator[int, None]:
        opened.append(asyncio.current_task())
        try:
            while True:
                made.append(len(made))
                yield made[-1]
        finally:
            closed.append(asyncio.current_task())

    async with aclosing(loop.stream(source)) as items:
        assert await anext(items) == 0
        await eventually(lambda: len(made) >= AHEAD)
        await asyncio.sleep(0.05)
        assert len(made) <= 2 * AHEAD
        assert not closed
    await eventually(lambda: closed == opened)


async def test_the_last_user_ends_the_thread() -> None:
    loop = UpstreamLoop()
    loop.acquire()
    loop.acquire()
    loop.release()

    async def called() -> int:
        return 1

    assert await loop.call(called) == 1
    await asyncio.to_thread(loop.release)
    with pytest.raises(RuntimeError):
        await loop.call(called)

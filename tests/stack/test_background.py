"""The tasks that serve no request; the rest of the stack is tested end to end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from kvproxy.runtime import freed_memory
from kvproxy.stack import background


async def test_freed_memory_is_given_back_periodically_off_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []
    twice = asyncio.Event()
    loop = asyncio.get_running_loop()

    def trimmed() -> None:
        threads.append(threading.get_ident())
        if len(threads) == 2:
            loop.call_soon_threadsafe(twice.set)

    monkeypatch.setattr(background, "TRIM_S", 0.001)
    monkeypatch.setattr(freed_memory, "return_freed_memory", trimmed)
    async with background.open_background() as tasks:
        tasks.start(background.trim_memory())
        await twice.wait()
    count = len(threads)
    assert threading.get_ident() not in threads
    await asyncio.sleep(0.01)
    assert len(threads) <= count + 1, "it ends with the server"


async def test_a_cancellation_while_background_tasks_end_is_raised_after_them() -> None:
    ending, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await go_on.wait()
            ended.set()

    async def life() -> None:
        async with background.open_background() as tasks:
            tasks.start(slow_to_end())
            await asyncio.sleep(0)

    task = asyncio.ensure_future(life())
    await ending.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set(), "what it waits for has ended first"


async def test_a_failed_task_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    done = asyncio.Event()

    async def fail() -> None:
        raise ValueError("no such pages")

    async def go_on() -> None:
        await asyncio.sleep(0.001)
        done.set()

    async with background.open_background() as tasks:
        tasks.start(fail(), go_on())
        await done.wait()
    assert "a background task failed" in caplog.text and "no such pages" in caplog.text


async def test_the_slow_first_work_waits_for_the_first_answer_and_for_a_quiet_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "LOOK_S", 0.001)
    monkeypatch.setattr(background, "LATEST_S", 60.0)
    quiet = asyncio.Event()
    waiting = asyncio.ensure_future(background.quiet_after_first_answer(quiet.is_set))
    await asyncio.sleep(0.02)
    assert not waiting.done(), "nobody has asked yet, or an answer runs that it would slow down"
    quiet.set()
    await asyncio.wait_for(waiting, 30)


async def test_it_begins_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LOOK_S", 0.001)
    monkeypatch.setattr(background, "LATEST_S", 0.01)
    await asyncio.wait_for(background.quiet_after_first_answer(lambda: False), 30)

from __future__ import annotations

import asyncio

import pytest

from kvproxy.runtime.run_to_completion import run_to_completion


async def test_the_work_ends_before_its_cancellation_is_raised() -> None:
    steps: list[int] = []

    async def work() -> None:
        for i in range(5):
            await asyncio.sleep(0)
            steps.append(i)

    task = asyncio.ensure_future(run_to_completion(work()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == [0, 1, 2, 3, 4]


async def test_the_work_raises_its_own_error() -> None:
    async def work() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        await run_to_completion(work())

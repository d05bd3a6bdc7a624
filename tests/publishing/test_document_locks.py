from __future__ import annotations

import asyncio

import pytest

from kvproxy.publishing.document_locks import DocumentLocks


async def test_one_at_a_time_per_name() -> None:
    locks = DocumentLocks()
    order: list[str] = []

    async def work(name: str, label: str) -> None:
        async with locks.of(name):
            order.append(f"{label}+")
            await asyncio.sleep(0)
            order.append(f"{label}-")

    await asyncio.gather(work("a", "1"), work("a", "2"), work("b", "3"))
    assert order == ["1+", "3+", "1-", "3-", "2+", "2-"]
    assert locks.waiting == 0


async def test_a_lock_is_dropped_when_its_holder_fails_or_a_waiter_is_cancelled() -> None:
    locks = DocumentLocks()
    async with locks.of("a"):
        waiter = asyncio.ensure_future(_enter(locks))
        await asyncio.sleep(0)
        assert locks.waiting == 2
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
    with pytest.raises(ValueError, match="x"):
        async with locks.of("a"):
            raise ValueError("x")
    assert locks.waiting == 0


async def _enter(locks: DocumentLocks) -> None:
    async with locks.of("a"):
        pass

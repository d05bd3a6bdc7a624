from __future__ import annotations

import asyncio
import threading

import pytest

from kvproxy.errors import Unavailable
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


class OtherProxies:
    """Locks of which some are held elsewhere."""

    def __init__(self) -> None:
        self.elsewhere: set[str] = set()
        self.held: list[str] = []

    def take(self, name: str) -> bool:
        if name in self.elsewhere:
            return False
        self.held.append(name)
        return True

    def give_back(self, name: str) -> None:
        self.held.remove(name)


async def test_a_lock_is_taken_from_the_other_proxies_too() -> None:
    others = OtherProxies()
    locks = DocumentLocks(others, wait_s=0.05)
    seen: list[tuple[str, list[str]]] = []

    async def catch_up(name: str) -> None:
        seen.append((name, list(others.held)))

    locks.catch_up = catch_up
    async with locks.of("a"):
        assert others.held == ["a"] and seen == [("a", ["a"])], "what they changed is read under the lock"
        async with locks.local("b"):
            assert others.held == ["a"], "this process alone"
    assert others.held == [] and locks.waiting == 0
    others.elsewhere.add("handbook\ntenant:a")
    with pytest.raises(Unavailable, match="Another proxy is changing 'handbook'") as refused:
        async with locks.of("handbook\ntenant:a"):
            raise AssertionError
    assert refused.value.retry_after_s and locks.waiting == 0
    waiting = asyncio.create_task(locks.of("handbook\ntenant:a").__aenter__())
    await asyncio.sleep(0)
    others.elsewhere.clear()
    await waiting
    assert others.held == ["handbook\ntenant:a"]


async def test_whoever_leaves_while_a_lock_is_taken_gives_it_back() -> None:
    others, taking, go_on = OtherProxies(), threading.Event(), threading.Event()

    class Slow(OtherProxies):
        def take(self, name: str) -> bool:
            taking.set()
            go_on.wait(30)
            return others.take(name)

        def give_back(self, name: str) -> None:
            others.give_back(name)

    locks = DocumentLocks(Slow())

    async def hold() -> None:
        async with locks.of("a"):
            raise AssertionError

    task = asyncio.create_task(hold())
    await asyncio.to_thread(taking.wait, 30)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([task])
    assert task.cancelled() and others.held == [] and locks.waiting == 0

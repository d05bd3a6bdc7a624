"""`DocumentLocks`: one writer per document at a time, over all proxies of a database that shares locks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from kvproxy.errors import Unavailable
from kvproxy.runtime.run_to_completion import run_to_completion

WAIT_S = 30.0
"""Seconds for which a writer waits for another proxy's. Within a process it waits as long as it takes."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.25
RETRY_S = 5


class SharedLocks(Protocol):
    """Locks that several proxies share, like ``AdvisoryLocks``. Blocking."""

    def take(self, name: str) -> bool:
        """Take a lock if nobody has it; return whether it is held now. Raises Unavailable."""

    def give_back(self, name: str) -> None:
        """Give a lock back. Raises nothing."""


class DocumentLocks:
    """A lock per name, which exists while it is held or waited for. Event loop only."""

    def __init__(self, shared: SharedLocks | None = None, *, wait_s: float = WAIT_S) -> None:
        """``shared``: the locks of all proxies, None: this process is alone. ``wait_s``: see ``WAIT_S``."""
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()
        self._shared, self._wait_s = shared, wait_s
        self.catch_up: Callable[[str], Awaitable[None]] | None = None
        """Awaited with the name of a lock that was taken from the other proxies: reads what they have changed."""

    @property
    def waiting(self) -> int:
        """The number of tasks that hold or wait for a lock now."""
        return self._users.total()

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of ``name`` within the block, over all proxies: what they changed under it is known then.

        Raises Unavailable where another proxy holds it for longer than ``wait_s``, and without a database.
        """
        async with self.local(name):
            if self._shared is None:
                yield
                return
            async with self._of_all(self._shared, name):
                if self.catch_up is not None:
                    await self.catch_up(name)
                yield

    @asynccontextmanager
    async def local(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of ``name`` within the block, in this process alone: for what only this process has, like
        pages and pins."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._users[name] += 1
        try:
            async with lock:
                yield
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name], self._locks[name]

    @asynccontextmanager
    async def _of_all(self, shared: SharedLocks, name: str) -> AsyncIterator[None]:
        taken = False

        async def take() -> None:
            nonlocal taken
            taken = await asyncio.to_thread(shared.take, name)

        async def give_back() -> None:
            await asyncio.to_thread(shared.give_back, name)

        loop = asyncio.get_running_loop()
        until, pause_s = loop.time() + self._wait_s, _FIRST_PAUSE_S
        try:
            while True:
                await run_to_completion(take())  # whoever leaves while it is being taken gives it back
                if taken:
                    break
                if loop.time() >= until:
                    raise _busy(name)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            yield
        finally:
            if taken:
                await run_to_completion(give_back())


def _busy(name: str) -> Unavailable:
    id = name.partition("\n")[0]
    return Unavailable(
        f"Another proxy is changing '{id}' at the moment, and has not ended. Try again.",
        retry_after_s=RETRY_S,
    )

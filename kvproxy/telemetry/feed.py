"""A feed of what has just ended, for those who watch: bounded in memory, and no slower for a watcher who sleeps."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

KEPT = 500
"""Entries of all tenants that are remembered for those who begin to watch."""

BEHIND = 1000
"""Entries that a slow watcher may be behind; older ones are dropped, and it is told how many."""


class Follower(Generic[T]):
    """One watcher's entries, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[T] = deque()
        self._news = asyncio.Event()
        self._missed = 0

    def put(self, entry: T) -> None:
        if len(self._waiting) == BEHIND:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(entry)
        self._news.set()

    def take(self) -> tuple[list[T], int]:
        """Returns what came since the last time, and how many before that were dropped."""
        taken, missed = list(self._waiting), self._missed
        self._waiting.clear()
        self._missed = 0
        self._news.clear()
        return taken, missed

    async def wait(self, seconds: float) -> None:
        """Until there is something to take, or so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass


class Feed(Generic[T]):
    """Event loop only. A tenant sees its own entries and no others."""

    def __init__(self) -> None:
        self._kept: deque[tuple[str, T]] = deque(maxlen=KEPT)
        self._followers: list[tuple[str, Follower[T]]] = []

    def put(self, scope: str, entry: T) -> None:
        """``scope``: the caller's. Costs nothing that grows, but with those who watch."""
        self._kept.append((scope, entry))
        for watched, follower in self._followers:
            if watched == scope:
                follower.put(entry)

    def recent(self, scope: str, most: int) -> list[T]:
        """The newest ``most`` of a tenant, oldest first."""
        own = [entry for kept, entry in self._kept if kept == scope]
        return own[len(own) - min(most, len(own)) :]

    @contextmanager
    def following(self, scope: str) -> Iterator[Follower[T]]:
        """Whatever ends from now on."""
        watcher = (scope, Follower[T]())
        self._followers.append(watcher)
        try:
            yield watcher[1]
        finally:
            self._followers.remove(watcher)

"""`Feed`: the latest ended requests, kept in bounded memory and fanned out to followers without waiting for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

KEPT = 500
"""Entries of all tenants that are kept for new followers."""

BEHIND = 1000
"""Entries that may wait for a slow follower; older ones are dropped and counted."""


class Follower(Generic[T]):
    """A queue of one follower's entries, oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[T] = deque()
        self._news = asyncio.Event()
        self._missed = 0

    def put(self, entry: T) -> None:
        """Add an entry; a full queue drops its oldest one."""
        if len(self._waiting) == BEHIND:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(entry)
        self._news.set()

    def take(self) -> tuple[list[T], int]:
        """Return the entries since the last call, and the number of older ones that were dropped."""
        taken, missed = list(self._waiting), self._missed
        self._waiting.clear()
        self._missed = 0
        self._news.clear()
        return taken, missed

    async def wait(self, seconds: float) -> None:
        """Wait until there is an entry to take, at most ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass


class Feed(Generic[T]):
    """The latest entries of all tenants; each tenant sees only its own. Event loop only."""

    def __init__(self) -> None:
        self._kept: deque[tuple[str, T]] = deque(maxlen=KEPT)
        self._followers: list[tuple[str, Follower[T]]] = []

    def put(self, scope: str, entry: T) -> None:
        """Add an entry for the callers of ``scope``. O(followers)."""
        self._kept.append((scope, entry))
        for followed, follower in self._followers:
            if followed == scope:
                follower.put(entry)

    def recent(self, scope: str, most: int) -> list[T]:
        """Return the newest ``most`` entries of a scope, oldest first."""
        own = [entry for kept, entry in self._kept if kept == scope]
        return own[len(own) - min(most, len(own)) :]

    @contextmanager
    def following(self, scope: str) -> Iterator[Follower[T]]:
        """Open a follower of the entries that a scope gets from now on."""
        following = (scope, Follower[T]())
        self._followers.append(following)
        try:
            yield following[1]
        finally:
            self._followers.remove(following)

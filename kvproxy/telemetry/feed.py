"""`Feed`: the latest ended requests, kept in bounded memory and fanned out to followers without waiting for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

KEPT = 500
"""Entries of all tenants that are kept for new followers."""

BEHIND = 1000
"""Entries that may wait for a slow follower; older ones are dropped and counted."""


@dataclass(frozen=True, slots=True)
class FedEntry(Generic[T]):
    """One entry, and whose it is."""

    scope: str
    tenant: str
    private: bool
    """True: nobody but the callers of its scope may see it, an operator neither."""
    entry: T


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
        self._kept: deque[FedEntry[T]] = deque(maxlen=KEPT)
        self.put_in_all = 0
        """Entries since the beginning: while it is the same, the feed is."""
        self._followers: list[tuple[str, Follower[T]]] = []

    def put(self, scope: str, entry: T, *, tenant: str = "", private: bool = False) -> None:
        """Add an entry for the callers of ``scope``. O(followers).

        Example: ``feed.put(caller.scope, served, tenant=caller.name, private=not caller.retain)``
        """
        self._kept.append(FedEntry(scope, tenant, private, entry))
        self.put_in_all += 1
        for followed, follower in self._followers:
            if followed == scope:
                follower.put(entry)

    def recent(self, scope: str, most: int) -> list[T]:
        """Return the newest ``most`` entries of a scope, oldest first."""
        own = [kept.entry for kept in self._kept if kept.scope == scope]
        return own[len(own) - min(most, len(own)) :]

    def everybodys(self, scope: str, most: int) -> list[FedEntry[T]]:
        """Return the newest ``most`` entries of all tenants, oldest first, as an operator of ``scope`` may see them:
        without those that others keep private. Whoever shows them leaves out what is not the operator's to see.

        Example: ``feed.everybodys(caller.scope, 50)``
        """
        seen = [kept for kept in self._kept if kept.scope == scope or not kept.private]
        return seen[len(seen) - min(most, len(seen)) :]

    @contextmanager
    def following(self, scope: str) -> Iterator[Follower[T]]:
        """Open a follower of the entries that a scope gets from now on."""
        following = (scope, Follower[T]())
        self._followers.append(following)
        try:
            yield following[1]
        finally:
            self._followers.remove(following)

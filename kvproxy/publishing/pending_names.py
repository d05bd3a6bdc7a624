"""`PendingNames`: the names of documents that have changed and were not looked at yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from kvproxy.database.announcements import Change, ChangeTopic
from kvproxy.database.change_feed import ChangeFeed

MOST = 10_000
"""Names that are remembered; beyond them all names are compared, which costs less than it seems."""


@dataclass(frozen=True, slots=True)
class ChangedNames:
    """Names that have changed, or any name."""

    names: frozenset[str]
    all: bool = False


class PendingNames:
    """A bounded set of names that a feed fills. Event loop only, but for what the feed calls.

    Example:
        ``with closing(PendingNames(registry.changes)) as pending: changed = await pending.take()``
    """

    def __init__(self, feed: ChangeFeed) -> None:
        """Note names from now on, those that this process changes included."""
        self._loop = asyncio.get_running_loop()
        self._names: set[str] = set()
        self._all = False
        self._some = asyncio.Event()
        self._stop: Callable[[], None] = feed.subscribe(self._told)

    def add(self, name: str) -> None:
        """Note a name; an empty one stands for all."""
        if not name or len(self._names) >= MOST:
            self._all = True
            self._names.clear()
        elif not self._all:
            self._names.add(name)
        self._some.set()

    async def take(self) -> ChangedNames:
        """Wait for names, and return all of them; they are not pending any more."""
        await self._some.wait()
        found = ChangedNames(frozenset(self._names), self._all)
        self._names, self._all = set(), False
        self._some.clear()
        return found

    def close(self) -> None:
        """Note no more. Idempotent."""
        self._stop()

    def _told(self, change: Change) -> None:
        """Any thread."""
        if change.topic is ChangeTopic.DOCUMENTS:
            try:
                self._loop.call_soon_threadsafe(self.add, change.name)
            except RuntimeError:  # the loop has ended
                self._stop()

"""`TopicChanges`: waits for changes of one topic by other processes, or for some seconds where they are not told of."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from kvproxy.database.announcements import Change, ChangeTopic
from kvproxy.database.change_feed import ChangeFeed


class TopicChanges:
    """The changes of one topic, one wait after the other. Belongs to the event loop that makes it.

    Many changes at once are one: whoever waits reads all that is new.

    Example:
        ``with closing(TopicChanges(database.changes, ChangeTopic.ACCOUNTS, 2.0)) as changes: await changes.next()``
    """

    def __init__(self, feed: ChangeFeed, topic: ChangeTopic, every_s: float) -> None:
        """``every_s``: seconds after which a look is due in any case."""
        self._topic, self._every_s = topic, every_s
        self._loop = asyncio.get_running_loop()
        self._some = asyncio.Event()
        self._closed = False
        self._stop = feed.subscribe(self._told)

    async def next(self) -> bool:
        """Wait until a look is due; False after ``close``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._every_s):
                await self._some.wait()
        self._some.clear()
        return not self._closed

    def close(self) -> None:
        """End the wait, and every later one. Idempotent. Event loop."""
        self._closed = True
        self._stop()
        self._some.set()

    def _told(self, change: Change) -> None:
        """Any thread."""
        if change.topic is self._topic and not change.own:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._some.set)

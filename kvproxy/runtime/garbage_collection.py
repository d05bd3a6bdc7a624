"""Garbage collection on a timer of this process, independent of the allocations of requests.

Reference counting frees a request and everything made for it; only cycles need the collector. A full collection
visits every living object under the interpreter's lock, and Python starts one when a quarter more objects have grown
old: in the middle of a body of many values, all of which it visits, that is 130 ms in which no stream moves. So:

- Objects that live as long as the process are frozen once they exist, and never visited again.
- Young objects are collected as by default, some thousands at a time, about a millisecond.
- A full collection runs every ten seconds, when no thread works on a large request or did a moment ago; after a
  minute it waits no longer.
- Python's own full collection stays as the last bound, a thousand times later than by default, which is more than one
  large request comes to: cycles cannot grow without end, even where the event loop never reaches its timer.

Switching the collector off while a large body is read was rejected: young collections cost little, and they bound the
cycles that such work leaves behind.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY_S = 10.0
"""Seconds between two full collections."""
LOOK_S = 0.2
"""Seconds between two checks whether large work has ended."""
OVERDUE_S = 60.0
"""Seconds after which a full collection is postponed no longer."""
PYTHONS_OWN = 10_000
"""Collections of the middle generation, some 8,000 objects each at most, before Python starts a full one itself."""


def collect_and_freeze() -> None:
    """Collect, and freeze the objects that are left. For the start, when no request's garbage exists yet."""
    gc.collect()
    gc.freeze()


@contextmanager
def frozen() -> Iterator[None]:
    """Freeze the objects that are there, until the block ends: as in a server that has started."""
    collect_and_freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def own_clock() -> Iterator[None]:
    """Let Python start a full collection only as the last bound, within the block."""
    before = gc.get_threshold()
    gc.set_threshold(*before[:2], PYTHONS_OWN)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def uncollected_imports() -> Iterator[None]:
    """Import within the block without the collector, which would visit all classes and functions over and over.

    They live as long as the process. A sixth of the time in which ``kvproxy serve`` imports its modules.

    Example:
        >>> with uncollected_imports():
        ...     from kvproxy.errors import KVProxyError
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


class FullCollections:
    """Decides when a full collection runs. ``clock``: seconds."""

    def __init__(
        self, collect: Callable[[], object] = gc.collect, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._collect = collect
        self._clock = clock
        self._last = clock()
        self._postponing = 0
        self._changes = self._seen = 0
        """Starts and ends of large work, in total and at the last check."""
        self._lock = threading.Lock()

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Postpone full collections within the block, because many objects are alive. In any thread; blocks may
        overlap."""
        with self._lock:
            self._postponing += 1
            self._changes += 1
        try:
            yield
        finally:
            with self._lock:
                self._postponing -= 1
                self._changes += 1

    def collect_if_idle(self) -> bool:
        """Run a full collection, unless no object has grown old since the last one.

        Returns False where it is postponed: by large work, or by large work that ended since the last check and has
        values still alive.
        """
        now = self._clock()
        changes, seen, self._seen = self._changes, self._seen, self._changes
        if (self._postponing or changes != seen) and now - self._last < OVERDUE_S:
            return False
        if gc.get_count()[2]:
            self._collect()
        self._last = now
        return True

    async def run(self) -> None:
        """Collect every ``EVERY_S`` until cancelled; Python's own full collections are the last bound meanwhile.

        Runs on the event loop, so that finalizers run where the objects that they close are used.
        """
        self._last = self._clock()
        postponed = False
        with own_clock():
            while True:
                await asyncio.sleep(LOOK_S if postponed else EVERY_S)
                postponed = not self.collect_if_idle()


FULL_COLLECTIONS = FullCollections()
"""The one instance of this process, because the process has one heap."""

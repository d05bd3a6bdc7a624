"""Garbage collection by this process's own clock, not by how much a request allocates.

Reference counting frees a request and all that was made of it; only cycles need the collector. A full collection looks
at every living object under the interpreter's lock, and Python begins one when a quarter more objects have grown old:
in the midst of a body of many values, whose every value it looks at, 130 ms in which no stream goes on. So:

- What lives as long as the process is set aside once it is there, and never looked at again.
- Young objects are collected as ever, some thousands at a time, about a millisecond.
- A full collection comes every ten seconds, when no thread works on a large request or did a moment ago; after a minute
  it waits no more.
- Python's own stays as the last bound, a thousand times later than by default, which is more than one large request
  comes to: cycles cannot grow without end, even where the event loop never comes to its clock.

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
"""Between two full collections."""
LOOK_S = 0.2
"""Between two looks for the end of large work."""
OVERDUE_S = 60.0
"""After so long a full collection waits for nobody."""
PYTHONS_OWN = 10_000
"""Collections of the middle generation, some 8,000 objects each at most, before Python begins a full one itself."""


def set_aside() -> None:
    """Collect, and count what is left as living for ever. For the start, when nothing is served yet that will be
    garbage."""
    gc.collect()
    gc.freeze()


@contextmanager
def own_clock() -> Iterator[None]:
    """Within the block, Python begins a full collection itself only as the last bound."""
    before = gc.get_threshold()
    gc.set_threshold(*before[:2], PYTHONS_OWN)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class FullCollections:
    """Decides when a full collection is run. ``clock``: seconds."""

    def __init__(
        self, collect: Callable[[], object] = gc.collect, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._collect = collect
        self._clock = clock
        self._last = clock()
        self._postponing = 0
        self._changes = self._seen = 0
        """How often large work began or ended, and had at the last look."""
        self._lock = threading.Lock()

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Within the block, many objects are alive. In any thread; blocks may overlap."""
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
        """Run a full collection, unless nothing has grown old since the last one. Returns False where it is
        postponed: by large work, or by such that ended since the last look, whose values are still there."""
        now = self._clock()
        changes, seen, self._seen = self._changes, self._seen, self._changes
        if (self._postponing or changes != seen) and now - self._last < OVERDUE_S:
            return False
        if gc.get_count()[2]:
            self._collect()
        self._last = now
        return True

    async def run(self) -> None:
        """Collect at ``EVERY_S`` until cancelled; meanwhile Python's own full collections are the last bound. On the
        event loop: finalizers run where what they close is used."""
        self._last = self._clock()
        postponed = False
        with own_clock():
            while True:
                await asyncio.sleep(LOOK_S if postponed else EVERY_S)
                postponed = not self.collect_if_idle()


FULL_COLLECTIONS = FullCollections()
"""Those of this process: its garbage is one, whatever makes it."""

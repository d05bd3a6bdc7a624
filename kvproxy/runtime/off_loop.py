"""Runs work on threads that would hold the event loop.

A thread that runs Python shares the interpreter's lock with the loop, which waits a few milliseconds for each such
thread. So work on large texts shares two threads, and everything else has the loop's own pool: a small request never
waits behind large ones. A process for large requests was rejected: their values would have to be unpickled under the
same lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kvproxy.runtime.garbage_collection import FULL_COLLECTIONS

T = TypeVar("T")

LARGE = 1 << 20
"""Bytes or characters from which work is large."""
SMALL = 1 << 16
"""Bytes or characters up to which work runs on the event loop: it costs less than a few milliseconds."""

_LARGE_WORK = ThreadPoolExecutor(2, thread_name_prefix="large-request")


async def off_loop(size: int, work: Callable[[], T]) -> T:
    """Run ``work`` on a thread and return its result. ``size``: the bytes or characters that it reads.

    A cancelled caller leaves it running to its end. Full garbage collections wait for it.
    """

    def postponing() -> T:
        with FULL_COLLECTIONS.postponed():
            return work()

    if size < LARGE:
        return await asyncio.to_thread(postponing)
    return await asyncio.get_running_loop().run_in_executor(_LARGE_WORK, postponing)


async def off_loop_if_large(size: int, work: Callable[[], T]) -> T:
    """Run ``work`` as :func:`off_loop` does, but at once where ``size`` is at most ``SMALL``."""
    return work() if size <= SMALL else await off_loop(size, work)

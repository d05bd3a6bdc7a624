"""Background tasks of a proxy process: their one owner, and the work that serves no request."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from kvproxy.publish import Publisher
from kvproxy.runtime import freed_memory
from kvproxy.runtime.garbage_collection import collect_and_freeze
from kvproxy.runtime.run_to_completion import run_to_completion

logger = logging.getLogger(__name__)

LATEST_S = 8.0
"""Seconds after which the slow first work begins in any case: a first miss, later than that, finds it done."""
LOOK_S = 0.1
TRIM_S = 30.0
"""Seconds between two times that freed memory is given back to the system."""


class BackgroundTasks:
    """Owner of the tasks that no request waits for. Event loop only."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, *works: Coroutine[None, None, None]) -> None:
        """Run each of ``works`` as a task until it ends or ``cancel`` is called. A failure is logged."""
        for work in works:
            task = asyncio.create_task(work)
            task.add_done_callback(_log_failure)
            self._tasks.append(task)

    async def cancel(self) -> None:
        """Cancel every task and wait for all of them; a cancellation of the caller is raised after that."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await run_to_completion(self._all_ended())

    async def _all_ended(self) -> None:
        await asyncio.wait(self._tasks)


@asynccontextmanager
async def open_background() -> AsyncIterator[BackgroundTasks]:
    """Open a :class:`BackgroundTasks`, and cancel its tasks at the end."""
    tasks = BackgroundTasks()
    try:
        yield tasks
    finally:
        await tasks.cancel()


async def warm_up(
    misses: LitellmBackend,
    publisher: Publisher,
    quiet: Callable[[], bool],
    tables: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Do the slow first work: pages that ``restore`` found missing, litellm's import, and the grammars' ``tables``.

    ``quiet``: true where something was answered and nothing runs.
    Example: ``await warm_up(stack.misses, stack.publisher, quiet, grammars.prepare)``
    """
    await publisher.refresh()
    # litellm's import takes seconds of the processor, and the tables of a large vocabulary take two: paid here, not by
    # the first miss or the first schema, and not by the first hit either, which needs neither of them. Other requests
    # begin what they need themselves.
    await quiet_after_first_answer(quiet)
    began = time.perf_counter()
    await misses.start()
    logger.info("litellm is imported, in %.2f s", time.perf_counter() - began)
    # litellm's import alone leaves some 500,000 objects that will never be garbage. Looking through them
    # again and again is 300 ms in which no request moves: they are set aside, and so are the library and the tables.
    collect_and_freeze()
    if tables is not None:
        await tables()
        collect_and_freeze()


async def quiet_after_first_answer(quiet: Callable[[], bool]) -> None:
    """Wait until something was answered and nothing runs, as ``quiet`` tells, ``LATEST_S`` seconds at most.

    After a restart the first requests come at once, where they come at all.
    """
    for _ in range(round(LATEST_S / LOOK_S)):
        if quiet():
            return
        await asyncio.sleep(LOOK_S)


async def trim_memory() -> None:
    """Give freed memory back to the system every ``TRIM_S`` seconds, until cancelled.

    The memory that requests of all sizes free lies in pieces between longer-lived objects: under an overload of
    minutes such pieces grew by some 14 MB a minute.
    """
    while True:
        await asyncio.sleep(TRIM_S)
        await asyncio.to_thread(freed_memory.return_freed_memory)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("a background task failed and is not run again", exc_info=task.exception())

"""An event loop for litellm in a thread of its own, so that the server's loop keeps its turns.

litellm reads an answer in pure Python, some 60 microseconds for each of its objects, without giving way. All of it
runs here, the local model's misses too: its queue of callbacks, its sessions and its router belong to whichever loop
used them last, so two loops would take them from one another.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import aclosing
from typing import Generic, TypeVar

T = TypeVar("T")

AHEAD = 8
"""Items of a stream that wait for their reader before its source waits."""


class UpstreamLoop:
    """One thread with one event loop, from the first ``acquire`` to the last ``release``.

    A caller's context variables are seen in the thread. A caller that is cancelled cancels its call, and does not wait
    for the end of it: a deadline fires on time, however busy the thread is.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None

    def acquire(self) -> None:
        """Start the thread if it does not run yet. Blocks until it runs."""
        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
            self._thread = threading.Thread(
                target=lambda: asyncio.run(_until_ended(running)), name="upstreams", daemon=True
            )
            self._thread.start()
            self._loop, self._ending = running.result()

    def release(self) -> None:
        """Release the thread; the last release cancels the running calls and blocks until the thread has ended."""
        with self._lock:
            self._users -= 1
            if self._users or self._loop is None or self._ending is None or self._thread is None:
                return
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join()
            self._loop = self._ending = self._thread = None

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await ``work()`` in the thread and return its result. Raises its errors."""
        loop = self._running()

        async def called() -> T:
            return await work()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(called(), loop))

    async def stream(self, source: Callable[[], AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
        """Yield the items of ``source()``: one task of the thread opens it, reads ``AHEAD`` of its reader, and closes.

        Raises its errors, after its items. Closing this one cancels that task.
        """
        loop = self._running()
        items: _Crossing[T] = _Crossing()
        reading = asyncio.run_coroutine_threadsafe(items.fill(source), loop)
        try:
            while batch := await items.take():
                for item in batch:
                    yield item
        finally:
            reading.cancel()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the loop of upstreams is not running")
        return self._loop


async def _until_ended(running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    ending = asyncio.Event()
    running.set_result((asyncio.get_running_loop(), ending))
    await ending.wait()


class _Crossing(Generic[T]):
    """Items on their way from the loop that runs ``fill`` to the loop that made this and takes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: deque[T] = deque()
        self._reader = asyncio.get_running_loop()
        self._arrived = asyncio.Event()  # of the reader's loop
        self._told = False
        """``_arrived`` is set or about to be: the reader is woken once for all that came meanwhile."""
        self._room: Future[None] | None = None
        self._ended = False
        self._error: Exception | None = None

    async def fill(self, source: Callable[[], AsyncGenerator[T, None]]) -> None:
        try:
            async with aclosing(source()) as items:
                async for item in items:
                    if (room := self._put(item)) is not None:
                        await asyncio.wrap_future(room)
        except Exception as e:
            self._error = e
        finally:
            with self._lock:
                self._ended = True
            self._tell()

    def _put(self, item: T) -> Future[None] | None:
        """Return a future to wait for when enough items wait for the reader, else None."""
        with self._lock:
            self._items.append(item)
            room = self._room = Future() if len(self._items) >= AHEAD else None
        self._tell()
        return room

    def _tell(self) -> None:
        with self._lock:
            if self._told:
                return
            self._told = True
        self._reader.call_soon_threadsafe(self._arrived.set)

    async def take(self) -> list[T]:
        """Return at least one item, none at the end. Raises the source's errors."""
        while True:
            await self._arrived.wait()
            with self._lock:
                items = list(self._items)
                self._items.clear()
                room, self._room = self._room, None
                ended = self._ended
                if not ended:
                    self._arrived.clear()
                    self._told = False
            if room is not None and room.set_running_or_notify_cancel():
                room.set_result(None)
            if items:
                return items
            if ended:
                if self._error is not None:
                    raise self._error
                return []

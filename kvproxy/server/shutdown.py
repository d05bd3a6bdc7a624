"""`Drain`: a graceful shutdown, in which new requests are refused and running ones get time to finish."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kvproxy.errors import ShuttingDown

RETRY_AFTER_S = 5
"""Seconds within which a supervisor starts the next process, or a load balancer notices."""


def shutting_down() -> ShuttingDown:
    """Return the error of requests that a shutdown refuses or cuts."""
    return ShuttingDown(
        "The server is shutting down. Try again in a few seconds.", retry_after_s=RETRY_AFTER_S
    )


class Drain:
    """The running requests and the state of a shutdown. Event loop only.

    ``begin`` refuses new requests; ``finish`` waits for the running ones, then cuts them. A request that is cut is
    cancelled while ``expired`` is true, which distinguishes it from a request that its client has left.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._running: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False
        self.expired = False

    @property
    def in_flight(self) -> int:
        """The number of running requests."""
        return len(self._running)

    @contextmanager
    def track(self) -> Iterator[None]:
        """Count the current task as a request. Raises ShuttingDown after ``begin``."""
        if self.draining:
            raise shutting_down()
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        self._idle.clear()
        try:
            yield
        finally:
            self._running.discard(task)
            if not self._running:
                self._idle.set()

    def begin(self) -> None:
        """Refuse new requests from now on."""
        self.draining = True

    def expire(self) -> None:
        """Cut every running request now: each ends its stream with an error event."""
        self.draining = True
        self.expired = True
        for task in self._running:
            task.cancel()

    async def finish(self) -> None:
        """Wait until no request runs, and cut them after the timeout. Call ``begin`` first."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._idle.wait()
        except TimeoutError:
            self.expire()
            await self._idle.wait()

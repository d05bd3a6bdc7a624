"""`LedgerWriter`: the one thread of a process that writes the ledger, with bookings grouped into transactions."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from kvproxy.errors import ShuttingDown
from kvproxy.ledger.database_faults import LedgerAway
from kvproxy.ledger.ledger_clerk import LedgerClerk

logger = logging.getLogger(__name__)

GROUP_S = 0.02
"""Seconds for which settled requests are collected before they are booked together."""

BEAT_S = 5.0
_AWAY_S = 1.0
"""Seconds after a failed booking before the next try."""

T = TypeVar("T")


class LedgerWriter:
    """A thread that runs a clerk's SQL: jobs in their order, bookings in groups, a beat from time to time."""

    def __init__(self, clerk: LedgerClerk) -> None:
        """Start the thread. ``clerk`` is open."""
        self._clerk = clerk
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._due = False
        """True when something is settled and no group is being collected yet."""
        self._next_beat = time.monotonic() + BEAT_S
        self._next_booking = 0.0
        self._away = False
        clerk.on_settled = self.nudge
        self._thread = threading.Thread(target=self._run, name="kvproxy-ledger", daemon=True)
        self._thread.start()

    @property
    def away(self) -> bool:
        """True from a failed booking or beat until the next one that succeeds: some seconds late."""
        return self._away

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Run ``job`` on the thread, before further bookings. Raises ShuttingDown after :meth:`close`."""
        future: Future[T] = Future()
        with self._wake:
            if self._closing:
                raise ShuttingDown("The ledger is closed; the proxy is shutting down.")
            self._jobs.append((job, future))
            self._wake.notify()
        return future

    def nudge(self) -> None:
        """Note that something was settled."""
        if not self._due:
            with self._wake:
                self._due = True
                self._next_booking = max(self._next_booking, time.monotonic() + GROUP_S)
                self._wake.notify()

    def close(self) -> None:
        """Run what was submitted, close the clerk and end the thread. Idempotent."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            jobs, closing = self._wait()
            for job, future in jobs:
                _run_job(job, future)
            if closing:
                break
            now = time.monotonic()
            if self._due and now >= self._next_booking:
                self._book(now)
            if now >= self._next_beat:
                self._next_beat = now + BEAT_S
                self._attempt(self._clerk.beat)
        self._clerk.close()

    def _wait(self) -> tuple[list[tuple[Callable[[], Any], Future[Any]]], bool]:
        with self._wake:
            while not self._jobs and not self._closing:
                until = min(self._next_beat, self._next_booking) if self._due else self._next_beat
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._wake.wait(left)
            jobs = list(self._jobs)
            self._jobs.clear()
            return jobs, self._closing

    def _book(self, now: float) -> None:
        self._due = False  # first: what is settled from here on makes it true again
        if not self._attempt(self._clerk.book_unbooked):
            with self._wake:
                self._due = True
                self._next_booking = now + _AWAY_S

    def _attempt(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except LedgerAway as e:
            if not self._away:
                logger.error("ledger: %s Settled requests wait in the journal.", e.message)
            self._away = True
            return False
        except Exception:
            # Nothing is lost by it: what was to be booked is still in the journal, and is tried again.
            logger.exception("ledger: unforeseen fault")
            return False
        if self._away:
            logger.warning("ledger: the database is back")
        self._away = False
        return True


def _run_job(job: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except BaseException as e:
        future.set_exception(e)
    else:
        future.set_result(result)

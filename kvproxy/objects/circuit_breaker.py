"""`CircuitBreaker`: refuses calls to a service that keeps failing, and tries it again by itself after a while."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

FAILURES = 5
"""Failures in a row that open it."""
FIRST_REST_S = 2.0
LONGEST_REST_S = 60.0


class CircuitBreaker:
    """Closed while calls succeed; open after FAILURES in a row. Open, it lets one call through when its rest is over: a
    success closes it, a failure doubles the rest, up to LONGEST_REST_S. Any thread.

    Rests are shortened by up to a half at random: proxies of a fleet must not come back at the same moment.

    Example:
        ``if breaker.allows(): try: call(); breaker.succeeded() except OSError: breaker.failed()``
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        """``clock`` in seconds; ``jitter`` from 0 to 1."""
        self._clock, self._jitter = clock, jitter
        self._lock = threading.Lock()
        self._failures = 0
        self._rest_s = FIRST_REST_S
        self._opens_at: float | None = None
        """Clock time from which one call is let through; None while closed."""
        self.opened = 0
        """The number of times that it has opened, or stayed open after a trial."""

    def allows(self) -> bool:
        """Return whether a call may be made now. The trial of an open one is claimed by the caller that gets True."""
        with self._lock:
            if self._opens_at is None:
                return True
            if self._clock() < self._opens_at:
                return False
            # One trial at a time: the next is let through when this one has had its time and said nothing.
            self._opens_at = self._clock() + self._rest_s
            return True

    def succeeded(self) -> None:
        """Close it."""
        with self._lock:
            self._failures, self._rest_s, self._opens_at = 0, FIRST_REST_S, None

    def failed(self) -> bool:
        """Count a failure; return whether it has opened with it, having been closed."""
        with self._lock:
            self._failures += 1
            if self._failures < FAILURES:
                return False
            first = self._opens_at is None
            if not first:
                self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)
            self._opens_at = self._clock() + self._rest_s * (1 - self._jitter() / 2)
            self.opened += 1
            return first

    @property
    def open(self) -> bool:
        """Whether calls are refused now."""
        with self._lock:
            return self._opens_at is not None and self._clock() < self._opens_at

    @property
    def rest_s(self) -> float:
        """Seconds until the next call is let through; 0 while closed."""
        with self._lock:
            return 0.0 if self._opens_at is None else max(0.0, self._opens_at - self._clock())

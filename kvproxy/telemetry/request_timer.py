"""Where the time of a request went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kvproxy.core import Decision
from kvproxy.events import Started


class Timings:
    """Where the time of one request went, in seconds. Starts when it is made.

    Two kinds of measurement: ``measure`` names a piece of our own work, ``waiting`` marks time that is not
    ours (the client sending its body, the engine). ``proxy_s`` is all time so far that was not waited:
    nothing that the proxy does escapes it, named or not.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began = clock()
        self._waited = 0.0
        self._named: dict[str, float] = {}
        self.decision: Decision | None = None
        """Set as soon as it is final, which for a miss is before its prefill."""

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        began = self._clock()
        try:
            yield
        finally:
            self._named[name] = self._named.get(name, 0.0) + self._clock() - began

    @contextmanager
    def waiting(self) -> Iterator[None]:
        began = self._clock()
        try:
            yield
        finally:
            self._waited += self._clock() - began

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._began

    @property
    def proxy_s(self) -> float:
        return self._clock() - self._began - self._waited

    def report(self, started: Started) -> dict[str, float]:
        """For ``Server-Timing``: our named work, the engine's own figures, and ``proxy``."""
        engine = {"queue": started.queue_s, "load": started.load_s, "prefill": started.prefill_s}
        return {**self._named, **engine, "proxy": self.proxy_s}

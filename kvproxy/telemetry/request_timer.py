"""`Timings`: a stopwatch for one request, reported in ``Server-Timing``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kvproxy.core import Decision
from kvproxy.events import Started


class Timings:
    """The time of one request in seconds, by phase. The clock starts when the object is made.

    Two kinds of measurement: ``measure`` names a phase of the proxy's own work, ``waiting`` marks time that is
    not the proxy's (the client sending its body, the engine). ``proxy_s`` is all time so far without the waits,
    so it includes work that has no name.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.began = clock()
        """The moment that it was made."""
        self._waited = 0.0
        self._named: dict[str, float] = {}
        self.phases: list[tuple[str, float, float]] = []
        """Each measured block in the order of their ends: its name, and its begin and end by the clock."""
        self.first_at: float | None = None
        """The moment of the first token, of the first choice."""
        self.decision: Decision | None = None
        """Set as soon as it is final, which for a miss is before its prefill."""

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the block's time to the phase ``name``."""
        began = self._clock()
        try:
            yield
        finally:
            ended = self._clock()
            self.phases.append((name, began, ended))
            self._named[name] = self._named.get(name, 0.0) + ended - began

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block's time as waited."""
        began = self._clock()
        try:
            yield
        finally:
            self._waited += self._clock() - began

    def note_first(self) -> None:
        """Note that the first token is there; later calls change nothing."""
        if self.first_at is None:
            self.first_at = self._clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the clock started."""
        return self._clock() - self.began

    @property
    def proxy_s(self) -> float:
        """Seconds since the clock started, without the waits."""
        return self._clock() - self.began - self._waited

    def report(self, started: Started) -> dict[str, float]:
        """Return seconds by name for ``Server-Timing``: the named phases, the engine's figures, and ``proxy``."""
        engine = {"queue": started.queue_s, "load": started.load_s, "prefill": started.prefill_s}
        return {**self._named, **engine, "proxy": self.proxy_s}

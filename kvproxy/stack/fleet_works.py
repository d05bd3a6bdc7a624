"""Background work and figures of a process that has fleets and no engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kvproxy.backends.base import LocalBackend
from kvproxy.documents.library.library import Library
from kvproxy.telemetry.metrics import Figures


class QuietReplicas:
    """Whether some request was answered, and none runs at the replicas. Event loop only."""

    def __init__(self, running: Callable[[], int]) -> None:
        """Begin without an answer. ``running`` returns the number of those that are under way."""
        self._running = running
        self._answered = False

    def answered(self) -> None:
        """Note that a request has its first token."""
        self._answered = True

    def __call__(self) -> bool:
        return self._answered and self._running() == 0


def running_at(backends: Iterable[LocalBackend]) -> int:
    """Return the answers that run at the replicas of those backends that are fleets. No I/O."""
    from kvproxy.backends.fleet.fleet_backend import FleetBackend

    fleets = [backend for backend in backends if isinstance(backend, FleetBackend)]
    return sum(replica.running for fleet in fleets for replica in fleet.figures().replicas)


def fleet_figures(library: Library, running: int) -> Figures:
    """Return the counters of a process without an engine: it has no pages, no queue and no audits of its own."""
    return Figures(running, 0, {}, library.quarantined, {})

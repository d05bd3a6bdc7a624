"""`ReplicaCounters`: counters of the answers of fleets' replicas, and of what was expected of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from prometheus_client import CollectorRegistry, Counter

from kvproxy.events import Started
from kvproxy.telemetry.reply_meter import Meter

REPORTED = ("equal", "fewer", "more", "unreported")


class ReplicaCounters:
    """The counters of one registry. Event loop only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._named: set[tuple[str, str]] = set()
        counter = partial(Counter, registry=registry)
        self._answers = counter(
            "kvproxy_replica_answers", "Answers that a fleet's replica has begun", ("fleet", "replica")
        )
        self._expectations = counter(
            "kvproxy_fleet_expectations",
            "Answers of fleets by the cached tokens that the replica reported, beside those that were expected of it",
            ("reported",),
        )
        for reported in REPORTED:
            self._expectations.labels(reported)

    def begun(self, model: str, started: Started) -> None:
        """Count an answer of a fleet's replica; nothing for another one."""
        if started.choice is not None:
            self._named.add((model, started.choice.replica))
            self._answers.labels(model, started.choice.replica).inc()

    def keep(self, replicas: Iterable[tuple[str, str]]) -> None:
        """Drop the series of all replicas but these, by fleet and name: names come from DNS, and go for good.

        Example: ``counters.keep([("qwen", "10.0.0.7:8000")])``
        """
        for gone in self._named - set(replicas):
            self._named.discard(gone)
            self._answers.remove(*gone)

    def ended(self, meter: Meter) -> None:
        """Count what the replica has reported; nothing where nothing was expected."""
        if meter.expectation is not None:
            self._expectations.labels(meter.expectation).inc()

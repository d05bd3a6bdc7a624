"""`FleetSeries`: a fleet's replicas as Prometheus reads them, and the collector of all fleets.

Labels are the fleet's model and the replica's name alone: no document, no tenant. A replica that is gone has no series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_REPLICA = ("fleet", "replica")


@dataclass(frozen=True, slots=True)
class ReplicaSeries:
    """The values of one replica; counts are those since this process's start."""

    replica: str
    up: bool
    """False while it is left alone: it failed, drains, or does not answer its probes."""
    running: int = 0
    """Requests of this proxy with a first token."""
    queued_tokens: int = 0
    """Prompt tokens of this proxy's requests without a first token."""
    prefill_tokens_per_s: float = 0.0
    event_lag_s: float | None = None
    """None: it has sent no event."""
    event_gaps: int = 0
    resident_tokens: Mapping[str, int] = field(default_factory=dict)
    """Tokens of the blocks that it is known to hold, by tier."""
    state: str = ""
    """Its health in a few words, or the reason that it is not used. No label: its words are not from a closed list."""
    answers: int = 0
    """Whole answers to this process."""
    hits: int = 0
    """Those of them for which it took tokens from its cache."""
    prompt_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class FleetSeries:
    """The values of one fleet."""

    fleet: str
    replicas: tuple[ReplicaSeries, ...] = ()
    retries: Mapping[str, int] = field(default_factory=dict)
    """Requests that another replica was asked for before their first byte, by what failed."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Further counts that only grow, by a name of COUNTS."""
    gauges: Mapping[str, int] = field(default_factory=dict)
    """Further values that rise and fall, by a name of GAUGES."""
    audits: Mapping[str, int] = field(default_factory=dict)
    """Hits that were compared with a cold read in idle time, by result: ``agree``, ``differ``, ``dropped``."""


COUNTS = {
    "broken_streams": "Answers of the fleet that broke off after their first byte",
    "overruled": "Times that a replica reported fewer cached tokens than its residency had promised",
    "warmed": "Prefixes of documents that were prefilled again after their eviction",
}
GAUGES = {
    "resident_blocks": "Different blocks that some replica of the fleet is known to hold",
    "warm_queue": "Prefixes of documents that wait to be prefilled again",
}


class FleetCollector(Collector):
    """Collects all fleets at each scrape. ``series`` returns them as they are now, without I/O.

    Example: ``registry.register(FleetCollector(lambda: [series_of(fleet) for fleet in fleets]))``
    """

    def __init__(self, series: Callable[[], Sequence[FleetSeries]]) -> None:
        self._series = series

    def describe(self) -> list[Metric]:
        """Return no names, so that registration asks no fleet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family, with one sample for each replica or fleet."""
        fleets = self._series()
        yield from _replica_gauges(fleets)
        gaps = CounterMetricFamily(
            "kvproxy_replica_event_gaps",
            "Jumps of the sequence numbers of a replica's KV events",
            labels=_REPLICA,
        )
        retries = CounterMetricFamily(
            "kvproxy_fleet_retries",
            "Requests that another replica was asked for before their first byte, by what failed",
            labels=("fleet", "reason"),
        )
        audits = CounterMetricFamily(
            "kvproxy_fleet_audits",
            "Hits that were compared with a forced cold read in idle time, by result; differ: a greedy token did",
            labels=("fleet", "result"),
        )
        resident = GaugeMetricFamily(
            "kvproxy_replica_resident_tokens",
            "Tokens of the blocks that the replica is known to hold, by the nearest tier",
            labels=(*_REPLICA, "tier"),
        )
        for fleet in fleets:
            for one in fleet.replicas:
                gaps.add_metric([fleet.fleet, one.replica], one.event_gaps)
                for tier, tokens in one.resident_tokens.items():
                    resident.add_metric([fleet.fleet, one.replica, tier], tokens)
            for reason, count in fleet.retries.items():
                retries.add_metric([fleet.fleet, reason], count)
            for result, count in fleet.audits.items():
                audits.add_metric([fleet.fleet, result], count)
        yield from (gaps, resident, retries, audits)
        yield from _of_fleets(fleets)


def _replica_gauges(fleets: Sequence[FleetSeries]) -> Iterator[Metric]:
    read: tuple[tuple[str, str, Callable[[ReplicaSeries], float | None]], ...] = (
        ("up", "1 while requests are sent to the replica", lambda one: float(one.up)),
        ("running", "Requests of this proxy at the replica, with a first token", lambda one: one.running),
        (
            "queued_tokens",
            "Prompt tokens of this proxy's requests at the replica that have no first token yet",
            lambda one: one.queued_tokens,
        ),
        (
            "prefill_tokens_per_second",
            "Speed of the replica's prefill as this proxy has measured it; 0 before the first",
            lambda one: one.prefill_tokens_per_s,
        ),
        (
            "event_lag_seconds",
            "Seconds between the making of the replica's last KV event and its arrival here",
            lambda one: one.event_lag_s,
        ),
    )
    for name, help, value in read:
        family = GaugeMetricFamily(f"kvproxy_replica_{name}", help, labels=_REPLICA)
        for fleet in fleets:
            for one in fleet.replicas:
                if (known := value(one)) is not None:
                    family.add_metric([fleet.fleet, one.replica], known)
        yield family


def _of_fleets(fleets: Sequence[FleetSeries]) -> Iterator[Metric]:
    for name, help in COUNTS.items():
        counter = CounterMetricFamily(f"kvproxy_fleet_{name}", help, labels=("fleet",))
        for fleet in fleets:
            counter.add_metric([fleet.fleet], fleet.counts.get(name, 0))
        yield counter
    for name, help in GAUGES.items():
        gauge = GaugeMetricFamily(f"kvproxy_fleet_{name}", help, labels=("fleet",))
        for fleet in fleets:
            gauge.add_metric([fleet.fleet], fleet.gauges.get(name, 0))
        yield gauge

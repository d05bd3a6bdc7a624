"""`ServiceFigures`: whether a proxy serves requests now, and the state of its ledger, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """The state at one moment."""

    ready: bool
    """As ``GET /health/ready`` says."""
    ledger_away: bool
    """True while the database cannot be written to."""
    ledger_backlog: int
    """Settled requests in this process's journal that are not booked yet."""


class ServiceCollector(Collector):
    """Asks for the figures at each scrape. Example: ``registry.register(ServiceCollector(figures))``."""

    def __init__(self, figures: Callable[[], ServiceFigures]) -> None:
        self._figures = figures

    def describe(self) -> list[Metric]:
        """Return no names, so that registration asks nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield a gauge for each figure."""
        now = self._figures()
        yield GaugeMetricFamily("kvproxy_ready", "1 while requests are served", int(now.ready))
        yield GaugeMetricFamily(
            "kvproxy_ledger_away", "1 while the ledger's database cannot be written to", int(now.ledger_away)
        )
        yield GaugeMetricFamily(
            "kvproxy_ledger_backlog",
            "Settled requests that lie in this process's journal and are not booked yet",
            now.ledger_backlog,
        )

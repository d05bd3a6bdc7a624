"""Generator of docs/metrics.md: ``python -m kvproxy.telemetry.metrics_page > docs/metrics.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from prometheus_client.core import Metric

from kvproxy.core import Charge, Hit, MeteredTokens
from kvproxy.core.replica_choice import ReplicaChoice
from kvproxy.events import Started
from kvproxy.telemetry.engine_series import COUNTED, GAUGED, Figures
from kvproxy.telemetry.fleet_series import FleetSeries, ReplicaSeries
from kvproxy.telemetry.metrics import Metrics
from kvproxy.telemetry.service_figures import ServiceFigures

_HEAD = """# Metrics

`GET /metrics` answers in Prometheus' text format, for all tenants together. It needs `server.metrics_key` where that is
set, else a key with the scope `metrics`; [deploy/observability](../deploy/observability/README.md) has a scrape
configuration, a dashboard and alert rules. No label names a document, a tenant, a key or a prompt: their values are
those of closed lists, routes, the models that are configured, and the replicas of fleets.

This table is generated from the registry that the server itself uses:

    python -m kvproxy.telemetry.metrics_page > docs/metrics.md

Times are seconds. A counter counts from the start of the process, and several proxies add up. Money is in nano-units
(10^-9) of the host's currency; no bill is computed from it.

| metric | type | labels | meaning |
| --- | --- | --- | --- |
"""


def page() -> str:
    """Return the Markdown of docs/metrics.md."""
    return _HEAD + "".join(_row(family) for family in sorted(_every_family(), key=lambda one: one.name))


def metric_names() -> set[str]:
    """Return the names that the text of ``/metrics`` may have, suffixes like ``_total`` and ``_bucket`` included."""
    return set(metric_labels())


def metric_labels() -> dict[str, frozenset[str]]:
    """Return the labels of those names. Example: ``metric_labels()["kvproxy_hits_total"] == {"kind"}``."""
    found: dict[str, frozenset[str]] = {}
    for family in _every_family():
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                found[sample.name] = found.get(sample.name, frozenset()) | set(sample.labels)
    return found


def _every_family() -> Iterator[Metric]:
    """Yield the families of a registry in which each has a sample, so that its labels are known."""
    metrics = Metrics()
    metrics.process.sample()
    metrics.follow(_figures)
    metrics.follow_fleets(lambda: [_fleet()])
    metrics.follow_service(lambda: ServiceFigures(ready=True, ledger_away=False, ledger_backlog=0))
    metrics.request("/v1/models", "openai", 200, 0.0)
    choice = ReplicaChoice("gpu-1", "key")
    metrics.reply(Hit(1, None), Started(1, False, 0, 0, 0, choice=choice), 1, 0.0, "qwen3-32b").close()
    charge = Charge("USD", 0, 0, 0, (), "tariff")
    metrics.bill("complete", MeteredTokens("qwen3-32b", 0, 0, 0), charge)
    yield from metrics.families()


def _figures() -> Figures:
    return Figures(
        running=0,
        waiting=0,
        pages={"free": 0},
        quarantined=0,
        audits={"passed": 0},
        counters=dict.fromkeys(COUNTED, 0),
        gauges=dict.fromkeys(GAUGED, 0),
    )


def _fleet() -> FleetSeries:
    replica = ReplicaSeries("gpu-1", up=True, event_lag_s=0.0, resident_tokens={"device": 0})
    return FleetSeries("qwen3-32b", (replica,), retries={"down": 0}, audits={"agree": 0})


def _row(family: Metric) -> str:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    name = f"{name}_info" if family.type == "info" else name
    labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
    shown = ", ".join(f"`{label}`" for label in labels)
    kind = "gauge" if family.type == "info" else family.type
    return f"| `{name}` | {kind} | {shown} | {family.documentation} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())

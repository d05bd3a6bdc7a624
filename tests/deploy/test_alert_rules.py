"""Each alert fires over series in which it should, and stays silent over those of a sound proxy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.promql_evaluation import SampledSeries, evaluate

FOLDER = Path(__file__).parents[2] / "deploy" / "observability"
RULES: dict[str, str] = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}
NOW = 2 * 86400.0
HERE = {"job": "kvproxy", "instance": "a:8321"}


def since(seconds: float, per_second: float, before: float = 0.0) -> Callable[[float], float]:
    """A counter that grows by ``before`` a second, and for the last ``seconds`` by ``per_second``."""
    turn = NOW - seconds
    return lambda t: before * min(t, turn) + per_second * max(0.0, t - turn)


def sound() -> SampledSeries:
    """Series of a proxy with nothing to complain of, which has served as it does now for two days."""
    series = SampledSeries()
    for metric in (
        *("quarantined_documents", "store_refuses_pages", "spill_refuses_pages", "object_store_resting"),
        *("object_backlog", "ledger_away", "ledger_backlog"),
    ):
        series.add(f"kvproxy_{metric}", 0, **HERE)
    series.add("up", 1, **HERE).add("kvproxy_ready", 1, **HERE)
    series.add("process_open_fds", 90, **HERE).add("process_max_fds", 1024, **HERE)
    series.add("kvproxy_audits_total", lambda t: t // 60, result="exact", **HERE)
    series.add("kvproxy_audits_total", 0, result="failed", **HERE)
    of = {**HERE, "fleet": "f", "replica": "r0"}
    series.add("kvproxy_fleet_audits_total", 0, result="differ", fleet="f", **HERE)
    series.add("kvproxy_replica_up", 1, **of).add("kvproxy_replica_event_lag_seconds", 0.2, **of)
    for source, rate in (("cached", 900.0), ("prefilled", 100.0)):
        series.add("kvproxy_prompt_tokens_total", since(0, 0, rate), source=source, **HERE)
    for le, share in (("0.25", 0.9), ("1", 1.0), ("10", 1.0), ("+Inf", 1.0)):
        name = "kvproxy_time_to_first_token_seconds_bucket"
        series.add(name, since(0, 0, share), le=le, cache="hit", **HERE)
    series.add("kvproxy_time_to_first_token_seconds_count", since(0, 0, 1.0), cache="hit", **HERE)
    for status, rate in (("200", 10.0), ("429", 0.1), ("502", 0.1)):
        labels = {"endpoint": "/v1/chat/completions", "dialect": "openai", "status": status, **HERE}
        series.add("kvproxy_requests_total", since(0, 0, rate), **labels)
    # Another one starts: its probes get 503, and scrapes 200; neither is a request of anybody.
    for endpoint, status, rate in (("/health/ready", "503", 50.0), ("/metrics", "200", 50.0)):
        labels = {"endpoint": endpoint, "dialect": "kvproxy", "status": status, **HERE, "instance": "b:8321"}
        series.add("kvproxy_requests_total", since(0, 0, rate), **labels)
    return series


def but(metric: str, value: Callable[[float], float] | float, **labels: str) -> SampledSeries:
    """A sound proxy with other values of one metric where the labels fit."""
    series = sound()
    for at, (own, _) in enumerate(series.of[metric]):
        if labels.items() <= own.items():
            series.of[metric][at] = (own, value if callable(value) else lambda _: float(value))
    return series


def nothing(metric: str) -> SampledSeries:
    series = sound()
    del series.of[metric]
    return series


BROKEN: dict[str, SampledSeries] = {
    "KvproxyDown": but("up", 0),
    "KvproxyAbsent": nothing("up"),
    "KvproxyNotReady": but("kvproxy_ready", 0),
    "KvproxyAuditFailed": but("kvproxy_audits_total", since(600, 1 / 600), result="failed"),
    "KvproxyFleetAuditDiffers": but("kvproxy_fleet_audits_total", since(7200, 4 / 7200)),
    "KvproxyQuarantine": but("kvproxy_quarantined_documents", 1),
    "KvproxyStoreRefusesPages": but("kvproxy_store_refuses_pages", 1),
    "KvproxySpillRefusesPages": but("kvproxy_spill_refuses_pages", 1),
    "KvproxyObjectStoreResting": but("kvproxy_object_store_resting", 1),
    "KvproxyObjectBacklog": but("kvproxy_object_backlog", since(7200, 1)),
    "KvproxyLedgerAway": but("kvproxy_ledger_away", 1),
    "KvproxyLedgerBacklog": but("kvproxy_ledger_backlog", 20_000),
    "KvproxyHitShareDropped": but(
        "kvproxy_prompt_tokens_total", since(3600, 10.0, before=900.0), source="cached"
    ),
    "KvproxySlowFirstToken": but("kvproxy_time_to_first_token_seconds_bucket", since(0, 0, 0.5), le="1"),
    "KvproxyOverloaded": but("kvproxy_requests_total", since(3600, 2.0), status="429"),
    "KvproxyFileDescriptors": but("process_open_fds", 1000),
    "KvproxyReplicaDown": but("kvproxy_replica_up", 0),
    "KvproxyReplicaEventLag": but("kvproxy_replica_event_lag_seconds", 60),
    "KvproxyErrors": but("kvproxy_requests_total", since(3600, 2.0), status="502"),
}


def fires(alert: str, series: SampledSeries) -> bool:
    return bool(evaluate(RULES[alert], series, NOW))


def test_every_alert_has_series_of_its_own() -> None:
    assert set(BROKEN) == set(RULES)


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_fires_where_it_should_and_nowhere_else(alert: str) -> None:
    assert fires(alert, BROKEN[alert])
    assert not fires(alert, sound())
    others = {name for name in RULES if name != alert and fires(name, BROKEN[alert])}
    assert others == set()


def test_what_is_too_little_to_say_anything_is_silent() -> None:
    quiet = sound()
    for metric in ("kvproxy_prompt_tokens_total", "kvproxy_time_to_first_token_seconds_count"):
        quiet.of[metric] = [(labels, lambda _: 0.0) for labels, _ in quiet.of[metric]]
    assert not fires("KvproxyHitShareDropped", quiet) and not fires("KvproxySlowFirstToken", quiet)


def dashboard_targets() -> list[tuple[str, str]]:
    dashboard: dict[str, Any] = json.loads((FOLDER / "kvproxy-dashboard.json").read_text(encoding="utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


@pytest.mark.parametrize(("title", "expression"), dashboard_targets())
def test_panels_ask_in_promql(title: str, expression: str) -> None:
    for variable, value in (("$__rate_interval", "5m"), ("$__range", "6h"), ("$job", "kvproxy")):
        expression = expression.replace(variable, value)
    series = sound()
    shown = evaluate(expression, series, NOW)
    assert isinstance(shown, dict), title
    if title == "Tokens from kept pages":
        assert shown == {frozenset(): pytest.approx(0.9)}
    if title == "Time to first token" and 'cache="hit"' in expression:
        [seconds] = shown.values()
        assert 0 < seconds <= 1


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4 - 6 / 2", 11.0),
        ("-(2) + 3", 1.0),
        ('rate(kvproxy_requests_total{status="200", endpoint!="/metrics"}[5m])', 10.0),
        ('increase(kvproxy_requests_total{status=~"4..|50[0-2]"}[1h])', 360.0),
        ("sum(kvproxy_requests_total) by (status) > 1e12", math.nan),
        ("clamp_min(kvproxy_ledger_away, 3)", 3.0),
    ],
)
def test_the_evaluation_itself(expression: str, value: float) -> None:
    found = evaluate(expression, sound(), NOW)
    values = [found] if isinstance(found, float) else list(found.values())
    assert values == ([] if math.isnan(value) else [pytest.approx(value)] * len(values))
    assert values or math.isnan(value)


@pytest.mark.parametrize(
    "expression",
    [
        "rate(kvproxy_ready)",
        "kvproxy_ready[5m]",
        "sum(1)",
        "kvproxy_ready >",
        "rats(up[5m])",
        "up)",
        'up{a="b"',
    ],
)
def test_what_is_no_promql_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        evaluate(expression, sound(), NOW)

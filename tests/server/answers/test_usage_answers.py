"""Figures as they are sent."""

from __future__ import annotations

from kvproxy.server.answers.usage_answers import engine_body, miss_body, point_body, recent_body, sums_body
from kvproxy.telemetry.metrics import Figures
from kvproxy.telemetry.usage.ttft_histogram import TtftQuantiles
from kvproxy.telemetry.usage.usage_overview import MissEntry, UsageOverview
from kvproxy.telemetry.usage.usage_series import UsagePoint
from kvproxy.telemetry.usage.usage_sums import NO_USAGE, UsageSums


def test_sums_have_amounts_by_currency() -> None:
    body = sums_body(UsageSums(3, 2, 1, 3_000, 1_000, 9, 1_234_567, {"USD": 377_000, "EUR": -1}))
    assert body["hit_share"] == 0.3333 and body["saved_s"] == 1.235
    assert [(one["currency"], one["amount"]) for one in body["saved"]] == [
        ("EUR", "-0.000000001"),
        ("USD", "0.000377"),
    ]
    assert sums_body(NO_USAGE)["hit_share"] is None and sums_body(NO_USAGE)["saved"] == []


def test_causes_are_summed_the_most_frequent_first() -> None:
    points = (UsagePoint(0, misses={"uuid": 1, "timestamp": 2}), UsagePoint(60, misses={"uuid": 4}))
    ttft = TtftQuantiles(7, 0.123456, 2.0)
    body = recent_body(UsageOverview(NO_USAGE, NO_USAGE, points, ttft, TtftQuantiles()))
    assert list(body["misses"].items()) == [("uuid", 5), ("timestamp", 2)] and body["seconds"] == 7_200
    assert body["hit_ttft"] == {"count": 7, "p50_s": 0.1235, "p99_s": 2.0}
    assert body["miss_ttft"] == {"count": 0, "p50_s": None, "p99_s": None}
    assert point_body(points[0])["misses"] == {"uuid": 1, "timestamp": 2}


def test_the_budget_is_the_sum_of_all_pages() -> None:
    body = engine_body(
        Figures(1, 2, {"free": 5, "used": 3, "evictable": 2}, 1, {"passed": 1}, {"a": 1}, {"b": 2})
    )
    assert body["page_budget"] == 10 and body["counters"] == {"a": 1} and body["gauges"] == {"b": 2}


def test_a_document_is_shown_to_its_own_tenant_alone() -> None:
    entry = MissEntry("r1", 1.5, "ann", "small", "no-document", "uuid", "plan@1", 9, 0, 0.12345)
    assert miss_body(entry, own=True)["document"] == "plan@1"
    assert miss_body(entry, own=False)["document"] is None
    assert miss_body(entry, own=False)["ttft_s"] == 0.1235

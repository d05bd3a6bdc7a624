"""Figures of the overview, by scope."""

from __future__ import annotations

from dataclasses import replace

from kvproxy.core import Caller
from kvproxy.dashboard.view_scope import ViewScope
from kvproxy.dashboard.views.overview_view import LEAST_POINTS, OTHERS, overview_charts, overview_shown
from kvproxy.telemetry.metrics import Figures
from kvproxy.telemetry.usage.ttft_histogram import TtftQuantiles
from kvproxy.telemetry.usage.usage_overview import UsageOverview
from kvproxy.telemetry.usage.usage_series import UsagePoint
from kvproxy.telemetry.usage.usage_sums import UsageSums

READER = Caller("alice", "tenant:a", permissions=frozenset({"read"}))
ADMIN = Caller("boss", "tenant:b", permissions=frozenset({"admin"}))
ENGINE = Figures(2, 5, {"free": 10, "used": 20, "evictable": 70}, 1, {"passed": 8, "failed": 2, "dropped": 4})
SUMS = UsageSums(requests=4, hits=3, misses=1, prompt_tokens=1000, cached_tokens=750, saved={"USD": 5})


def usage(*points: UsagePoint, hit: float | None = 0.1, miss: float | None = 2.0) -> UsageOverview:
    return UsageOverview(SUMS, SUMS, points, TtftQuantiles(3, hit, hit), TtftQuantiles(1, miss, miss))


def test_the_engine_is_shown_to_those_who_may_see_the_metrics() -> None:
    shown = overview_shown(usage(), ENGINE, ViewScope(ADMIN), priced=True)
    assert shown.engine is not None and shown.whose == "all tenants"
    assert (shown.engine.running, shown.engine.waiting) == (2, 5)
    assert (shown.engine.pages_used, shown.engine.page_budget, shown.engine.used_share) == (90, 100, 0.9)
    assert (shown.engine.audits_done, shown.engine.audits_wrong, shown.engine.quarantined) == (10, 2, 1)
    metrics = replace(READER, permissions=frozenset({"read", "metrics"}))
    assert overview_shown(usage(), ENGINE, ViewScope(metrics), priced=True).engine is not None
    hidden = overview_shown(usage(), ENGINE, ViewScope(READER), priced=True)
    assert hidden.engine is None and hidden.whose == "alice"
    assert overview_shown(usage(), None, ViewScope(ADMIN), priced=True).engine is None


def test_hits_are_compared_with_misses_where_both_are_known() -> None:
    shown = overview_shown(usage(), None, ViewScope(READER), priced=True)
    assert (
        shown.faster == 20 and shown.currencies == ("USD",) and "750 tokens skipped of 1,000" in shown.summary
    )
    assert overview_shown(usage(hit=None), None, ViewScope(READER), priced=True).faster is None
    assert overview_shown(usage(miss=None), None, ViewScope(READER), priced=True).faster is None


def test_a_minute_without_a_request_is_a_gap_and_not_a_zero() -> None:
    shares, ttfts, causes = overview_charts(
        [UsagePoint(60), UsagePoint(120, 2, 100, 50, TtftQuantiles(1, 0.1, 0.2), misses={"uuid": 1})]
    )
    assert [[cell.value for cell in row.cells] for row in shares.rows] == [[None], [0.5]]
    assert shares.rows[1].cells[0].text == "50.0 %" and shares.rows[1].at == 120
    assert [cell.value for cell in ttfts.rows[1].cells] == [0.1, 0.2, None, None]
    assert [[cell.value for cell in row.cells] for row in causes.rows] == [[None], [1]]
    assert not shares.empty and all(chart.empty for chart in overview_charts([UsagePoint(60)]))


def test_rare_causes_are_drawn_together() -> None:
    misses = {f"cause-{number}": 10 - number for number in range(8)}
    chart = overview_charts([UsagePoint(60, 60, misses=misses)])[2]
    assert [series.label for series in chart.series] == [*(f"cause-{n}" for n in range(5)), OTHERS]
    assert [cell.value for cell in chart.rows[0].cells] == [10, 9, 8, 7, 6, 5 + 4 + 3]
    assert sum(cell.value or 0 for cell in chart.rows[0].cells) == sum(misses.values())


def test_charts_begin_with_the_first_request() -> None:
    points = [UsagePoint(60 * minute, int(minute >= 50)) for minute in range(120)]
    assert [len(chart.rows) for chart in overview_charts(points)] == [70, 70, 70]
    late = [UsagePoint(60 * minute, int(minute == 119)) for minute in range(120)]
    assert [len(chart.rows) for chart in overview_charts(late)] == [LEAST_POINTS] * 3

from __future__ import annotations

from kvproxy.core.miss_causes import MissCause
from kvproxy.core.miss_remedies import REMEDIES
from kvproxy.dashboard.views.misses_view import BAR_S, MOST_CAUSES, OTHERS, misses_view, remedy_of
from kvproxy.telemetry.usage.usage_overview import MissEntry
from kvproxy.telemetry.usage.usage_series import UsagePoint


def entry(tenant: str, cause: str = "timestamp") -> MissEntry:
    return MissEntry("req_1", 60.0, tenant, "fake", "no-document", cause, None, 300, 0, 0.5, "chatcmpl-1")


def test_causes_by_their_number_with_what_to_do() -> None:
    series = [UsagePoint(0, misses={"uuid": 1, "timestamp": 2}), UsagePoint(60, misses={"timestamp": 3})]
    view = misses_view(series, [entry("alice")], tenant="alice", cause="uuid", everyone=False)
    assert [(row.cause, row.misses, row.chosen) for row in view.causes] == [
        ("timestamp", 5, False),
        ("uuid", 1, True),
    ]
    assert view.causes[0].remedy == REMEDIES[MissCause.TIMESTAMP] and view.misses == 6
    assert view.causes[1].query == "whose=own&cause=uuid"


def test_the_bars_add_up_to_all_misses() -> None:
    causes = list(MissCause)[: MOST_CAUSES + 3]
    series = [
        UsagePoint(60 * n, misses={cause: n + at for at, cause in enumerate(causes)}) for n in range(10)
    ]
    view = misses_view(series, (), tenant="alice", cause="", everyone=False)
    assert [bar.label for bar in view.times.series][-1] == OTHERS
    assert len(view.times.series) == MOST_CAUSES + 1 and len(view.times.rows) == 2
    assert sum(cell.value or 0 for row in view.times.rows for cell in row.cells) == view.misses
    assert [row.at for row in view.times.rows] == [0, BAR_S]


def test_only_ones_own_misses_may_be_opened() -> None:
    view = misses_view((), [entry("alice"), entry("bob")], tenant="alice", cause="", everyone=True)
    assert [row.own for row in view.newest] == [True, False]


def test_nothing_has_missed() -> None:
    view = misses_view([UsagePoint(0)], (), tenant="alice", cause="", everyone=False)
    assert view.causes == () and view.times.empty


def test_bars_are_those_of_the_clock_and_stay_when_a_minute_has_passed() -> None:
    points = [UsagePoint(60 * n, misses={"uuid": n}) for n in range(20)]
    views = [misses_view(of, [], tenant="a", cause="", everyone=False) for of in (points[3:16], points[4:17])]
    bars = [{row.at: row.cells[0].value for row in view.times.rows} for view in views]
    assert list(bars[0]) == [0, BAR_S, 2 * BAR_S, 3 * BAR_S]
    assert (
        [bars[0][at] for at in (BAR_S, 2 * BAR_S)] == [bars[1][at] for at in (BAR_S, 2 * BAR_S)] == [35, 60]
    )


def test_a_word_that_is_no_cause_has_the_remedy_of_the_unknown() -> None:
    assert remedy_of("nonsense") == REMEDIES[MissCause.UNKNOWN]

from __future__ import annotations

from kvproxy.core.miss_causes import MissCause
from kvproxy.core.miss_remedies import REMEDIES
from kvproxy.dashboard.views.misses_view import MOST_CAUSES, OTHERS, STEPS_OF_BAR, misses_view, remedy_of
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
        UsagePoint(60 * n, misses={cause: n + at for at, cause in enumerate(causes)})
        for n in range(2 * STEPS_OF_BAR)
    ]
    view = misses_view(series, (), tenant="alice", cause="", everyone=False)
    assert [bar.label for bar in view.times.series][-1] == OTHERS
    assert len(view.times.series) == MOST_CAUSES + 1 and len(view.times.rows) == 2
    assert sum(cell.value or 0 for row in view.times.rows for cell in row.cells) == view.misses
    assert [row.at for row in view.times.rows] == [0, 60 * STEPS_OF_BAR]


def test_only_ones_own_misses_may_be_opened() -> None:
    view = misses_view((), [entry("alice"), entry("bob")], tenant="alice", cause="", everyone=True)
    assert [row.own for row in view.newest] == [True, False]


def test_nothing_has_missed() -> None:
    view = misses_view([UsagePoint(0)], (), tenant="alice", cause="", everyone=False)
    assert view.causes == () and view.times.empty


def test_a_word_that_is_no_cause_has_the_remedy_of_the_unknown() -> None:
    assert remedy_of("nonsense") == REMEDIES[MissCause.UNKNOWN]

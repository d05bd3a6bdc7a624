"""The bench of the dashboard's cost runs real servers, which do what it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.bench.watched.dashboard_cost import (
    CLOSED,
    OFF,
    OPEN,
    DashboardCostPlan,
    bench_dashboard,
    difference,
)
from kvproxy.bench.watched.print_watched import print_dashboard_cost
from tests.documents.models import write_model


def test_differences_are_those_of_each_round() -> None:
    assert difference([0.30, 0.20, 0.40], [0.10, 0.15, 0.10]) == {
        "median": 0.2,
        "least": 0.05,
        "greatest": 0.3,
    }


@pytest.mark.e2e
@pytest.mark.slow
def test_views_are_held_open_while_the_same_load_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    plan = DashboardCostPlan(seconds=0.5, rounds=2, rate=10.0)
    result = bench_dashboard(plan, model_folder=write_model(tmp_path / "model", "qwen3"), told=told.append)
    for part, rounds in ((result["under_load"], 2), (result["idle"], 1)):
        assert {name: len(each) for name, each in part["shares"].items()} == dict.fromkeys(
            (OFF, CLOSED, OPEN), rounds
        )
        assert part["events_per_s"] >= 6 / 0.5, "each of the six fragments at least once in each round"
    assert result["under_load"]["of_a_core"][OFF] > result["idle"]["of_a_core"][OFF]
    assert len(told) == 3
    print_dashboard_cost(result)
    assert "five views open" in capsys.readouterr().out

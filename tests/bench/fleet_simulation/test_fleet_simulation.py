import json
from typing import Any

import pytest

from kvproxy.bench.fleet_simulation.fleet_simulation import SimulationPlan, bench_fleet_simulation
from kvproxy.bench.fleet_simulation.fleet_traffic import TrafficPlan
from tests.bench.fleet_simulation.simulated_result import PLAN, simulated

TIMES = ("decision", "events_us_per_request")


@pytest.fixture
def result() -> dict[str, Any]:
    return simulated()


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(result))
    for fleet in copied["fleets"]:
        for name in TIMES:
            fleet["routers"]["kvproxy"].pop(name)
    return copied


def test_a_seed_gives_the_same_figures(result: dict[str, Any]) -> None:
    assert without_times(bench_fleet_simulation(PLAN)) == without_times(result)


def test_another_seed_gives_others(result: dict[str, Any]) -> None:
    plan = SimulationPlan(
        sizes=(2,), requests_per_replica=100, least_requests=1000, traffic=TrafficPlan(documents=2000, seed=1)
    )
    assert bench_fleet_simulation(plan)["fleets"][0]["routers"] != result["fleets"][0]["routers"]


def test_no_router_beats_the_bounds(result: dict[str, Any]) -> None:
    for fleet in result["fleets"]:
        for row in fleet["routers"].values():
            assert 0 < row["hit_rate"] <= fleet["best_hit_rate"] and row["imbalance"] >= 1
        assert fleet["one_cache_hit_rate"] <= fleet["best_hit_rate"]


def test_residency_finds_what_round_robin_and_sessions_compute_again(result: dict[str, Any]) -> None:
    ten = result["fleets"][1]["routers"]
    assert ten["kvproxy"]["hit_rate"] > ten["sticky_sessions"]["hit_rate"] > ten["round_robin"]["hit_rate"]
    assert ten["kvproxy"]["first_token_p99_s"] < ten["sticky_sessions"]["first_token_p99_s"]


def test_a_tenth_that_leaves_moves_its_own_documents_only(result: dict[str, Any]) -> None:
    assert result["fleets"][0]["leaving"] is None
    leaving = result["fleets"][1]["leaving"]
    assert leaving["left"] == 1 and leaving["moved_keys_of_others"] == 0
    assert 0.05 < leaving["moved_keys"] < 0.15
    assert 0 < leaving["documents_lost"] < leaving["documents_resident"]
    assert len(leaving["windows"]) == 40

"""A small simulation's result, made once for the tests of tables and figures."""

from __future__ import annotations

from functools import cache
from typing import Any

from kvproxy.bench.fleet_simulation.fleet_simulation import SimulationPlan, bench_fleet_simulation
from kvproxy.bench.fleet_simulation.fleet_traffic import TrafficPlan

PLAN = SimulationPlan(
    sizes=(2, 10), requests_per_replica=100, least_requests=1000, traffic=TrafficPlan(documents=2000)
)


@cache
def simulated() -> dict[str, Any]:
    """Return the result of `PLAN`; not to be changed."""
    return bench_fleet_simulation(PLAN)

import re

import pytest

from kvproxy.bench.fleet_simulation.simulation_table import ROUTER_NAMES, print_fleet_simulation
from tests.bench.fleet_simulation.simulated_result import simulated


def test_every_router_of_every_size_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_fleet_simulation(simulated())
    printed = capsys.readouterr().out
    for name in (*ROUTER_NAMES.values(), "one LRU cache", "best possible"):
        assert len(re.findall(rf"^│ \d+ +│ {name} ", printed, re.MULTILINE)) == 2
    ten = simulated()["fleets"][1]
    assert (
        f"{ten['routers']['kvproxy']['hit_rate']:.1%}" in printed and f"{ten['best_hit_rate']:.1%}" in printed
    )
    assert "2,000 documents, Zipf 0.9" in printed and "blocks of 128" in printed


def test_replicas_that_leave_have_a_row_where_there_are_enough(capsys: pytest.CaptureFixture[str]) -> None:
    print_fleet_simulation(simulated())
    leaving = capsys.readouterr().out.split("breaks at half time")[1]
    row = simulated()["fleets"][1]["leaving"]
    assert f"{row['documents_lost']:,} of {row['documents_resident']:,}" in leaving
    assert "│ 10 " in leaving and "│ 2 " not in leaving


def test_a_fleet_that_did_not_recover_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    ten = simulated()["fleets"][1]
    print_fleet_simulation(
        simulated() | {"fleets": [ten | {"leaving": ten["leaving"] | {"recovery_s": None}}]}
    )
    assert "not in the run" in capsys.readouterr().out

from pathlib import Path

import pytest

from kvproxy.bench.fleet_simulation.plot_fleet_simulation import plot_fleet_simulation
from kvproxy.errors import SetupError
from tests.bench.fleet_simulation.simulated_result import simulated


def test_a_result_gives_the_same_figure(tmp_path: Path) -> None:
    for name in ("one.svg", "other.svg"):
        plot_fleet_simulation(simulated(), tmp_path / name)
    drawn = (tmp_path / "one.svg").read_text()
    assert drawn == (tmp_path / "other.svg").read_text() and "<svg" in drawn
    assert all(f"<!-- {title} -->" in drawn for title in ("Hit rate", "TTFT, 99th percentile", "10 replicas"))


def test_small_fleets_have_no_curve_of_leaving(tmp_path: Path) -> None:
    plot_fleet_simulation(simulated() | {"fleets": simulated()["fleets"][:1]}, tmp_path / "figure.svg")
    assert "<!-- 2 replicas -->" not in (tmp_path / "figure.svg").read_text()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"cannot write .*none/figure\.svg"):
        plot_fleet_simulation(simulated(), tmp_path / "none" / "figure.svg")

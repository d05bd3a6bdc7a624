from __future__ import annotations

import random

import pytest

from kvproxy.engine.decode.draft_cost import PRIOR_REACH, DraftCost

BASE, SLOPE = 0.02, 0.02 / 25_000


def taught(tiles: int, noise: float = 0.0, scale: float = 1.0) -> DraftCost:
    cost, source = DraftCost(), random.Random(4)
    for _ in range(tiles):
        reach = source.choice([1, 2, 4, 8, 16]) * 3000
        cost.add(reach, scale * (BASE + SLOPE * reach) * (1 + source.uniform(-noise, noise)))
    return cost


def true_share(depth: int, reach: int) -> float:
    return SLOPE * depth / (BASE + SLOPE * reach)


def test_before_anything_ran_a_row_costs_what_is_assumed() -> None:
    assert DraftCost().row(1000, 0) == pytest.approx(1000 / PRIOR_REACH)
    assert DraftCost().row(0, 0) == 0.0


@pytest.mark.parametrize("depth, reach", [(300, 300), (3000, 3000), (3000, 12_000)])
def test_it_learns_what_a_row_costs(depth: int, reach: int) -> None:
    assert taught(60).row(depth, reach) == pytest.approx(true_share(depth, reach), rel=0.1)
    assert taught(60, noise=0.3).row(depth, reach) == pytest.approx(true_share(depth, reach), rel=0.5)


def test_tiles_that_are_all_alike_leave_it_at_what_is_assumed() -> None:
    cost = DraftCost()
    for _ in range(50):
        cost.add(3000, 0.03)
    assert cost.row(3000, 3000) == pytest.approx(3000 / (PRIOR_REACH + 3000), rel=0.01)


def test_one_slow_tile_is_no_lesson() -> None:
    cost = taught(60)
    before = cost.row(3000, 3000)
    cost.add(48_000, 9.0)
    assert cost.row(3000, 3000) < 2 * before


def test_a_machine_that_became_slow_is_learned() -> None:
    cost = taught(60)
    for reach in [3000, 12_000, 48_000] * 40:
        cost.add(reach, 10 * (BASE + SLOPE * reach))
    assert cost.row(3000, 3000) == pytest.approx(true_share(3000, 3000), rel=0.2)


def test_no_timing_makes_a_row_pay_for_itself() -> None:
    cost = DraftCost()
    for reach in [3000, 48_000] * 30:
        cost.add(reach, 0.05 if reach == 3000 else 0.001)
    assert cost.row(3000, 3000) >= 0.0

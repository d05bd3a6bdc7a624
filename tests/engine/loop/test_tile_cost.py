from __future__ import annotations

import random

import pytest

from kvproxy.engine.loop.tile_cost import TileCost


def taken(rows: int, reach: int) -> float:
    """Seconds on a made-up machine."""
    return 0.02 + 0.0005 * rows + 3e-7 * reach


def seen(cost: TileCost, count: int, *, noise: float = 0.0, slower: float = 1.0) -> TileCost:
    source = random.Random(3)
    for _ in range(count):
        rows = source.choice((16, 64, 256))
        reach = rows * source.randrange(8000)
        cost.observe(rows, reach, slower * taken(rows, reach) * source.uniform(1 - noise, 1 + noise))
    return cost


def test_nothing_is_known_before_the_first_tile() -> None:
    cost = TileCost()
    cost.observe(64, 0, 0.0)
    assert cost.observed == 0 and cost.predict(256, 10**6) == 0.0


def test_it_finds_what_a_tile_takes() -> None:
    cost = seen(TileCost(), 12)
    for rows, reach in ((16, 0), (128, 128 * 5000), (256, 256 * 20_000)):
        assert cost.predict(rows, reach) == pytest.approx(taken(rows, reach), rel=0.01)
    assert cost.added(32, 32 * 4000) == pytest.approx(taken(32, 32 * 4000) - taken(0, 0), rel=0.02)


def test_noise_moves_it_little() -> None:
    cost = seen(TileCost(), 60, noise=0.3)
    assert cost.predict(128, 128 * 5000) == pytest.approx(taken(128, 128 * 5000), rel=0.2)


def test_a_machine_that_became_slow_is_noticed() -> None:
    cost = seen(seen(TileCost(), 60), 60, slower=3.0)
    assert cost.predict(64, 64 * 3000) == pytest.approx(3 * taken(64, 64 * 3000), rel=0.2)


def test_no_part_of_a_tile_has_a_negative_price() -> None:
    """Whatever was seen, a larger tile is never taken for a cheaper one."""
    source = random.Random(7)
    for _ in range(200):
        cost = TileCost()
        for _ in range(source.randrange(1, 6)):
            rows = source.choice((16, 64, 256))
            cost.observe(rows, rows * source.randrange(8000), source.uniform(0.001, 1.0))
        price = cost.predict(64, 64 * 2000)
        assert 0 < price <= cost.predict(128, 64 * 2000)
        assert price <= cost.predict(64, 64 * 4000) * (1 + 1e-9)
        assert cost.added(16, 0) >= 0


def test_tiles_that_are_all_alike_predict_themselves() -> None:
    cost = TileCost()
    for _ in range(30):
        cost.observe(64, 0, 0.25)
    assert cost.predict(64, 0) == pytest.approx(0.25, rel=1e-3)

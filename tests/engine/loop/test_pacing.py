from __future__ import annotations

import pytest

from kvproxy.engine.loop.pacing import FEWEST_ROWS, GAP, LONGEST_PIECE_S, PIECE, SHORT_ROWS, Pace
from kvproxy.engine.tiling.numerics import Numerics

NUMERICS = Numerics(largest=256, exact=True, kernel="any")
ONE_SIZE = Numerics(largest=64, exact=True, kernel="one", sizes=(64,))
PIECES = 30
STEP_S = 0.05


def taken(rows: int, reach: int) -> float:
    return 0.01 + 0.0005 * rows + 5e-7 * reach


@pytest.fixture
def pace() -> Pace:
    """Of a machine that was seen at work for a while."""
    pace = Pace()
    for rows in (16, 64, 256):
        for start in (0, 2000, 7000):
            pace.prefilled(rows, rows * start, taken(rows, rows * start), PIECES)
    for seconds in (STEP_S, STEP_S, 40 * STEP_S, STEP_S, STEP_S / 2):
        pace.decoded(seconds)
    return pace


def test_one_slow_step_is_no_measure(pace: Pace) -> None:
    assert pace.step_s == STEP_S
    assert Pace().step_s is None


def test_what_is_left_of_a_gap_is_for_prompts(pace: Pace) -> None:
    assert pace.slice_s(STEP_S) == pytest.approx((GAP - 1) * STEP_S)
    assert pace.slice_s(1.5 * STEP_S) == pytest.approx((GAP - 1.5) * STEP_S)
    assert pace.slice_s(9 * STEP_S) == 0.0
    assert Pace().slice_s(0.3) == pytest.approx((GAP - 1) * 0.3)


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("start", [0, 100, 1000, 7000, 30_000, 200_000])
def test_a_piece_of_the_next_tile_fits_its_time(pace: Pace, start: int, streams: bool) -> None:
    rows = pace.rows(NUMERICS, start, streams=streams)
    limit = PIECE * (GAP - 1) * STEP_S if streams else LONGEST_PIECE_S
    piece = taken(NUMERICS.tile_for(rows), rows * start) / PIECES
    fewest = FEWEST_ROWS if streams else SHORT_ROWS
    assert rows >= fewest and (piece <= 1.02 * limit or rows == fewest)
    if rows < 256:
        assert taken(NUMERICS.tile_for(2 * rows), 2 * rows * start) / PIECES > 0.98 * limit


def test_the_deeper_the_prompt_the_fewer_its_rows_and_it_always_ends(pace: Pace) -> None:
    starts = (0, 3000, 10_000, 100_000, 10_000_000)
    rows = [pace.rows(NUMERICS, start, streams=True) for start in starts]
    assert rows == sorted(rows, reverse=True)
    assert rows[0] == 256 and rows[-1] == FEWEST_ROWS
    assert pace.rows(ONE_SIZE, 10_000_000, streams=True) == FEWEST_ROWS
    assert pace.rows(ONE_SIZE, 0, streams=True) == 64


def test_a_model_that_cannot_rest_gets_smaller_tiles(pace: Pace) -> None:
    before = pace.rows(NUMERICS, 2000, streams=True)
    pace.prefilled(64, 64 * 2000, taken(64, 64 * 2000), 1)
    assert FEWEST_ROWS < pace.rows(NUMERICS, 2000, streams=True) < before


def test_a_hits_tail_rides_along_unless_it_is_too_deep(pace: Pace) -> None:
    assert pace.may_ride(25, 25 * 2000)
    assert not pace.may_ride(25, 25 * 30_000)


def test_before_anything_was_seen_tiles_are_of_middling_size() -> None:
    pace = Pace()
    assert pace.rows(NUMERICS, 50_000, streams=True) == SHORT_ROWS
    assert pace.rows(NUMERICS, 50_000, streams=False) == 256
    assert pace.may_ride(SHORT_ROWS, 10**9) and not pace.may_ride(SHORT_ROWS + 1, 0)

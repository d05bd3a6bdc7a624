from __future__ import annotations

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.loop.scored_rows import ScoredRows


def states(start: int, count: int) -> torch.Tensor:
    """Return hidden states of two numbers that say which position they are of."""
    return torch.arange(start, start + count, dtype=torch.float32)[:, None].repeat(1, 2)


def test_rows_before_the_first_scored_position_and_behind_the_last_are_left_out() -> None:
    rows = ScoredRows(first=10, last=20)
    rows.put(0, states(0, 10), prompt_end=18)
    with pytest.raises(ValueError, match="from 10 on"):
        rows.until(10)
    rows.put(8, states(8, 16), prompt_end=18)
    assert torch.equal(rows.until(20), states(10, 10))
    assert torch.equal(rows.until(13), states(10, 3))
    assert len(rows.until(8)) == 0


def test_rows_grow_with_the_answer_and_keep_what_they_had() -> None:
    rows = ScoredRows(first=0, last=100 * PAGE_TOKENS)
    rows.put(0, states(0, 4), prompt_end=4)
    end = 3 * PAGE_TOKENS
    for start in range(4, end):
        rows.put(start, states(start, 1), prompt_end=4)
    assert torch.equal(rows.until(end), states(0, end))


def test_a_row_that_is_computed_again_replaces_the_earlier_one() -> None:
    rows = ScoredRows(first=0, last=8)
    rows.put(0, states(50, 8), prompt_end=8)
    rows.put(2, states(2, 6), prompt_end=8)
    assert torch.equal(rows.until(8), torch.cat([states(50, 2), states(2, 6)]))

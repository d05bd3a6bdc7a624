from __future__ import annotations

from collections import Counter

import pytest
import torch

from kvproxy.core import Sampling
from kvproxy.engine.sampler import fresh_seed, sample, uniform


def draw(logits: list[float], count: int = 1, seed: int = 5, **parameters: float) -> list[int]:
    """``count`` tokens of one answer, all from the same logits."""
    p = Sampling(**parameters)  # type: ignore[arg-type]  # names and values are Sampling's own
    rows = torch.tensor([logits], dtype=torch.float32)
    return [sample(rows, [(p, seed, step)])[0] for step in range(count)]


def test_greedy_takes_the_first_of_equal_logits() -> None:
    assert draw([1.0, 3.0, 3.0, 2.0], temperature=0.0) == [1]
    assert draw([0.0] * 500, temperature=0.0) == [0]


def test_each_row_has_its_own_parameters() -> None:
    logits = torch.tensor([[0.0, 5.0], [9.0, 0.0], [0.0, 0.0]])
    rows = [(Sampling(temperature=0.0), 1, 0), (Sampling(temperature=0.0), 1, 0), (Sampling(top_k=1), 1, 0)]
    assert sample(logits, rows) == [1, 0, 0]


def test_a_seed_gives_one_answer_whoever_is_beside_it() -> None:
    logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(1))
    p = Sampling(temperature=1.2)
    alone = [sample(logits[i : i + 1], [(p, 100 + i, 3)])[0] for i in range(4)]
    assert sample(logits, [(p, 100 + i, 3) for i in range(4)]) == alone
    assert sample(logits.flip(0), [(p, 103 - i, 3) for i in range(4)]) == alone[::-1]


def test_other_seeds_and_other_steps_draw_otherwise() -> None:
    flat = [0.0] * 1000
    assert draw(flat, 20) == draw(flat, 20)
    assert draw(flat, 20) != draw(flat, 20, seed=6)
    assert len(set(draw(flat, 20))) > 15


def test_top_k_keeps_the_k_largest_and_ties_by_token_id() -> None:
    assert set(draw([0.0, 1.0, 5.0, 4.9], 300, top_k=2)) == {2, 3}
    assert set(draw([2.0, 2.0, 2.0, 2.0], 300, top_k=2)) == {0, 1}
    assert set(draw([0.0, 0.1, 0.2], 300, top_k=9)) == {0, 1, 2}


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log().tolist()
    assert set(draw(logits, 400, top_p=0.49)) == {0}
    assert set(draw(logits, 400, top_p=0.51)) == {0, 1}
    assert set(draw(logits, 400, top_p=0.79)) == {0, 1}
    assert set(draw(logits, 400, top_p=0.81)) == {0, 1, 2}
    assert set(draw(logits, 50, top_p=0.0001)) == {0}, "one token is always left"


def test_top_p_comes_after_top_k_and_temperature() -> None:
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64).log().tolist()
    assert set(draw(logits, 400, top_k=2, top_p=0.58)) == {0, 1}, "0.4 of the 0.7 that top_k left is 0.571"
    assert set(draw(logits, 400, top_k=2, top_p=0.56)) == {0}
    assert set(draw(logits, 400, temperature=0.1, top_p=0.9)) == {0}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_distribution_is_the_softmax(temperature: float) -> None:
    logits = torch.tensor([1.0, 0.0, -1.0, 2.0, 0.5])
    expected = torch.softmax(logits.double() / temperature, 0) * 4000
    counts = Counter(draw(logits.tolist(), 4000, temperature=temperature))
    chi_square = sum((counts[i] - float(e)) ** 2 / float(e) for i, e in enumerate(expected))
    assert chi_square < 18.5, "0.1 % of fair samples exceed this at 4 degrees of freedom"


def test_uniform_numbers_fill_the_interval() -> None:
    drawn = [uniform(seed, step) for seed in (-(2**63), 0, 7) for step in range(1000)]
    assert all(0 <= x < 1 for x in drawn)
    assert len(set(drawn)) == len(drawn)
    assert abs(sum(drawn) / len(drawn) - 0.5) < 0.02


def test_fresh_seeds_differ() -> None:
    assert len({fresh_seed() for _ in range(50)}) == 50

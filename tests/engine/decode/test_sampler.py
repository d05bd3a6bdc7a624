from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from kvproxy.core import Sampling
from kvproxy.engine.decode.penalties import Penalties
from kvproxy.engine.decode.sampler import SampledRow, choose, fresh_seed, greedy, uniform
from kvproxy.errors import InvalidRequest, KVProxyError
from tests.engine.constraints import Walk


def sample(logits: torch.Tensor, rows: list[SampledRow]) -> list[int | KVProxyError]:
    return [choose(own, best, row) for own, best, row in zip(logits, greedy(logits), rows, strict=True)]


def tokens_of(logits: torch.Tensor, rows: list[SampledRow]) -> list[int]:
    """One token a row, none of which fails."""
    chosen = sample(logits, rows)
    assert all(isinstance(c, int) for c in chosen)
    return [c for c in chosen if isinstance(c, int)]


def draw(logits: list[float], count: int = 1, seed: int = 5, **parameters: float) -> list[int]:
    """``count`` tokens of one answer, all from the same logits."""
    p = Sampling(**parameters)  # type: ignore[arg-type]  # names and values are Sampling's own
    rows = torch.tensor([logits], dtype=torch.float32)
    return [tokens_of(rows, [SampledRow(p, seed, step)])[0] for step in range(count)]


def test_greedy_takes_the_first_of_equal_logits() -> None:
    assert draw([1.0, 3.0, 3.0, 2.0], temperature=0.0) == [1]
    assert draw([0.0] * 500, temperature=0.0) == [0]


@pytest.mark.parametrize("temperature", [5e-324, 1e-308, 1e-300, 1e-9])
@pytest.mark.parametrize("cut", [{}, {"top_k": 2}, {"top_p": 0.5}, {"min_p": 0.1}])
def test_hardly_any_temperature_is_greedy(temperature: float, cut: dict[str, float]) -> None:
    assert draw([-70.0, 30.0, 29.999998, 0.0], 5, 5, temperature=temperature, **cut) == [1] * 5


def test_hardly_any_repetition_penalty_leaves_tokens_of_the_vocabulary() -> None:
    p = Sampling(repetition_penalty=1e-300)
    row = SampledRow(p, 1, 0, Penalties(p, [0, 2]))
    assert tokens_of(torch.tensor([[20.0, 30.0, 10.0, -5.0]]), [row])[0] in (0, 2)


def test_each_row_has_its_own_parameters() -> None:
    logits = torch.tensor([[0.0, 5.0], [9.0, 0.0], [0.0, 0.0]])
    greedy = SampledRow(Sampling(temperature=0.0), 1, 0)
    assert tokens_of(logits, [greedy, greedy, SampledRow(Sampling(top_k=1), 1, 0)]) == [1, 0, 0]


def test_a_seed_gives_one_answer_beside_any_batch_mates() -> None:
    logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(1))
    p = Sampling(temperature=1.2)
    rows = [SampledRow(p, 100 + i, 3) for i in range(4)]
    alone = [tokens_of(logits[i : i + 1], [rows[i]])[0] for i in range(4)]
    assert tokens_of(logits, rows) == alone
    assert tokens_of(logits.flip(0), rows[::-1]) == alone[::-1]


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


def test_min_p_keeps_what_is_not_much_less_likely_than_the_likeliest() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64).log().tolist()
    assert set(draw(logits, 300, min_p=0.59)) == {0, 1}
    assert set(draw(logits, 300, min_p=0.61)) == {0}
    assert set(draw(logits, 300, min_p=0.29)) == {0, 1, 2}
    assert set(draw(logits, 300, min_p=1.0)) == {0}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    logits=st.lists(st.integers(-12, 12).map(lambda x: x / 4), min_size=2, max_size=9, unique=True),
    temperature=st.sampled_from([0.4, 1.0, 1.7]),
    top_k=st.integers(0, 9),
    top_p=st.sampled_from([0.0, 0.31, 0.77, 0.93, 1.0]),
    min_p=st.sampled_from([0.0, 0.07, 0.43]),
)
def test_the_cuts_are_those_of_transformers(
    logits: list[float], temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    scores = torch.tensor([logits], dtype=torch.float64)
    ids: Any = torch.zeros(1, 1, dtype=torch.long)
    scores = TemperatureLogitsWarper(temperature)(ids, scores)
    if top_k:
        scores = TopKLogitsWarper(top_k)(ids, scores)
    if top_p < 1.0:
        scores = TopPLogitsWarper(top_p)(ids, scores)
    if min_p:
        scores = MinPLogitsWarper(min_p)(ids, scores)
    probabilities = torch.softmax(scores[0], dim=0)
    drawn = Counter(draw(logits, 300, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p))
    for i, p in enumerate(probabilities.tolist()):
        assert p > 0 or drawn[i] == 0
        assert p < 0.05 or drawn[i] > 0, "(1 - 0.05)^300 is less than one in four million"


def test_a_wide_vocabulary_is_cut_as_a_sorted_one_is() -> None:
    """top_p leaves unlikely tokens out before it sorts; what it keeps must not change by that."""
    logits = torch.randn(20_000, generator=torch.Generator().manual_seed(3)) * 3
    for top_p in (0.0, 0.2, 0.9, 0.999):
        probabilities, order = torch.softmax(logits.double(), 0).sort(descending=True, stable=True)
        keep = max(1, int((probabilities.cumsum(0) - probabilities < top_p).sum()))
        allowed = set(order[:keep].tolist())
        drawn = [
            tokens_of(logits[None], [SampledRow(Sampling(top_p=top_p), 8, step)])[0] for step in range(40)
        ]
        assert set(drawn) <= allowed
        assert len(set(drawn)) > 5 or keep < 40


class TestConstraints:
    def test_only_allowed_tokens_are_chosen_greedy_or_drawn(self) -> None:
        logits = torch.tensor([[9.0, 1.0, 2.0, 8.0, 0.0]])
        for p in (Sampling(temperature=0.0), Sampling(temperature=3.0), Sampling(top_p=0.99, top_k=4)):
            drawn = {
                tokens_of(logits, [SampledRow(p, 1, step, constraint=Walk({1, 2, 4}, 99))])[0]
                for step in range(80)
            }
            assert drawn == {2} if p.temperature == 0 else drawn <= {1, 2, 4}
        assert torch.equal(logits, torch.tensor([[9.0, 1.0, 2.0, 8.0, 0.0]])), (
            "the model's own stay as they are"
        )

    def test_a_mask_does_not_touch_its_batch_mates(self) -> None:
        logits = torch.tensor([[9.0, 1.0], [9.0, 1.0]])
        greedy = Sampling(temperature=0.0)
        assert tokens_of(
            logits, [SampledRow(greedy, 1, 0, constraint=Walk({1}, 9)), SampledRow(greedy, 1, 0)]
        ) == [1, 0]

    def test_the_last_of_a_masked_row_is_never_drawn_by_rounding(self) -> None:
        """Seeds whose uniform number is next to 1.0 must not fall behind the last token that is possible."""
        logits = torch.zeros(1, 5000)
        drawn = {
            tokens_of(logits, [SampledRow(Sampling(), seed, 0, constraint=Walk(range(10), 99))])[0]
            for seed in range(300)
        }
        assert drawn <= set(range(10))

    @pytest.mark.parametrize("error", [InvalidRequest("no"), RuntimeError("a library's own")])
    def test_a_broken_grammar_fails_its_row_alone(
        self, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        p = Sampling(temperature=0.0)
        broken = SampledRow(p, 1, 0, constraint=Walk({1}, 9, breaks_at=0, error=error))
        failed, token = sample(torch.tensor([[0.0, 5.0], [9.0, 0.0]]), [broken, SampledRow(p, 1, 0)])
        assert token == 0
        assert isinstance(failed, KVProxyError)
        assert (failed is error) == isinstance(error, KVProxyError)
        assert ("a library's own" in caplog.text) == isinstance(error, RuntimeError)

    def test_a_grammar_without_a_way_on_fails(self) -> None:
        row = SampledRow(Sampling(temperature=0.0), 1, 0, constraint=Walk({1}, 0))
        (failed,) = sample(torch.zeros(1, 4), [row])
        assert isinstance(failed, KVProxyError)

    def test_forbidden_ends_give_way_to_a_grammar_that_allows_nothing_else(self) -> None:
        logits = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        plain = Sampling(temperature=0.0)
        assert tokens_of(logits, [SampledRow(plain, 1, 0, forbidden={3})]) == [2]
        open_walk = Walk({0, 3}, 9)
        open_walk.accepted.append(1)  # Both may follow now.
        assert tokens_of(logits, [SampledRow(plain, 1, 0, constraint=open_walk, forbidden={3})]) == [0]
        ended = Walk({0}, 0, ends={3})
        assert tokens_of(logits, [SampledRow(plain, 1, 0, constraint=ended, forbidden={3})]) == [3]

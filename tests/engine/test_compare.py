from __future__ import annotations

import math

import pytest
import torch

from kvproxy.core import Sampling
from kvproxy.engine.compare import compare_logits
from kvproxy.engine.detokenize import Detokenizer, Vocabulary
from kvproxy.engine.sequence import Job, Sequence


def with_logits(vocabulary: Vocabulary, *chunks: torch.Tensor) -> Sequence:
    job = Job("x", (1, 2), Sampling(), 0, "a", ("a",), 0)
    sequence = Sequence(job, lambda event: None, Detokenizer(vocabulary))
    sequence.logits.extend(chunks)
    return sequence


def test_equal_bits_in_other_chunks_are_equal(vocabulary: Vocabulary) -> None:
    logits = torch.randn(6, 10, generator=torch.Generator().manual_seed(1))
    hit, cold = with_logits(vocabulary, logits[:2], logits[2:]), with_logits(vocabulary, logits)
    got = compare_logits(hit, cold, cached=9, hit_answer=[1, 2, 3], cold_answer=[1, 2, 3])
    assert (got.cached_tokens, got.positions, got.equal_argmax) == (9, 6, 6)
    assert got.largest_difference == 0.0
    assert (got.greedy_tokens, got.equal_greedy) == (3, 3)


def test_one_bit_is_a_difference(vocabulary: Vocabulary) -> None:
    logits = torch.randn(6, 10, generator=torch.Generator().manual_seed(1))
    other = logits.clone()
    other[3, 4] = torch.nextafter(other[3, 4], torch.tensor(9.0))
    got = compare_logits(
        with_logits(vocabulary, logits),
        with_logits(vocabulary, other),
        cached=9,
        hit_answer=[1],
        cold_answer=[],
    )
    assert 0 < got.largest_difference < 1e-6
    assert (got.greedy_tokens, got.equal_greedy) == (1, 0)


def test_another_greedy_token_is_counted(vocabulary: Vocabulary) -> None:
    logits = torch.zeros(3, 4)
    other = logits.clone()
    other[1, 2] = 1.0
    got = compare_logits(
        with_logits(vocabulary, logits),
        with_logits(vocabulary, other),
        cached=1,
        hit_answer=[1, 2, 9, 4],
        cold_answer=[1, 2, 3, 4],
    )
    assert (got.equal_argmax, got.largest_difference, got.equal_greedy) == (2, 1.0, 2)


def test_not_a_number_is_never_equal(vocabulary: Vocabulary) -> None:
    logits = torch.zeros(3, 4)
    logits[0, 0] = math.nan
    got = compare_logits(
        with_logits(vocabulary, logits),
        with_logits(vocabulary, logits.clone()),
        cached=1,
        hit_answer=[],
        cold_answer=[],
    )
    assert math.isnan(got.largest_difference)


@pytest.mark.parametrize(("rows", "others"), [(3, 2), (0, 0)])
def test_comparing_less_than_was_asked_is_an_error(vocabulary: Vocabulary, rows: int, others: int) -> None:
    hit, cold = (with_logits(vocabulary, torch.zeros(n, 4)) for n in (rows, others))
    with pytest.raises(ValueError, match="compared"):
        compare_logits(hit, cold, cached=1, hit_answer=[], cold_answer=[])

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.decode.logprobs import largest, token_logprob


def test_it_is_the_logarithm_of_the_softmax(vocabulary: Vocabulary) -> None:
    logits = torch.tensor([0.1, 0.6, 0.3]).log()
    got = token_logprob(logits, 2, 2, vocabulary)
    assert math.isclose(got.chosen.logprob, math.log(0.3), rel_tol=1e-6)
    assert got.chosen.token_id == 2 and got.chosen.text == b"\x02"
    assert [t.token_id for t in got.top] == [1, 2]
    assert got.top[1] == got.chosen, "the chosen token has the same bits in both places"


def test_no_alternatives_unless_asked_for_and_no_more_than_there_are(vocabulary: Vocabulary) -> None:
    logits = torch.zeros(3)
    assert token_logprob(logits, 0, 0, vocabulary).top == ()
    assert [t.token_id for t in token_logprob(logits, 0, 20, vocabulary).top] == [0, 1, 2]


def test_a_row_of_a_batch_has_the_bits_that_it_has_alone(vocabulary: Vocabulary) -> None:
    batch = torch.randn(5, 70_001, generator=torch.Generator().manual_seed(2)) * 4
    for row in batch:
        assert token_logprob(row, 9, 20, vocabulary) == token_logprob(row.clone(), 9, 20, vocabulary)


def test_a_control_token_has_its_name(vocabulary: Vocabulary) -> None:
    got = token_logprob(torch.zeros(257), 256, 0, vocabulary)
    assert got.chosen.text == b"<|end|>" and vocabulary.token_bytes(256) == b""


@settings(max_examples=80, deadline=None, derandomize=True)
@given(values=st.lists(st.integers(-3, 3), min_size=1, max_size=40), count=st.integers(1, 45))
def test_largest_first_and_equal_ones_by_id(values: list[int], count: int) -> None:
    got, ids = largest(torch.tensor(values, dtype=torch.float32), count)
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]
    assert ids.tolist() == expected
    assert got.tolist() == [values[i] for i in expected]

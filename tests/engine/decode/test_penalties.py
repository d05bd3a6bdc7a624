from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import RepetitionPenaltyLogitsProcessor

from kvproxy.core import Sampling
from kvproxy.engine.decode.penalties import Penalties

ids = st.lists(st.integers(0, 19), max_size=30)


def apply(sampling: Sampling, prompt: list[int], answer: list[int], logits: torch.Tensor) -> torch.Tensor:
    penalties = Penalties(sampling, prompt)
    for token in answer:
        penalties.add(token)
    out = logits.clone()
    penalties.apply(out)
    return out


def test_nothing_is_wanted_by_default() -> None:
    assert not Penalties.wanted(Sampling(temperature=0.3, top_k=5, min_p=0.1, min_tokens=4, logprobs=3))
    for sampling in (
        Sampling(presence_penalty=0.1),
        Sampling(frequency_penalty=-0.1),
        Sampling(repetition_penalty=1.1),
        Sampling(logit_bias=((3, 1.0),)),
    ):
        assert Penalties.wanted(sampling)


def test_presence_counts_once_and_frequency_every_time_of_the_answer_alone() -> None:
    logits = torch.ones(6)
    out = apply(Sampling(presence_penalty=0.5, frequency_penalty=0.25), [0, 1, 1, 5], [1, 2, 2, 2], logits)
    assert out.tolist() == [1.0, 0.25, 1 - 0.5 - 0.75, 1.0, 1.0, 1.0]


def test_negative_penalties_make_repeating_likelier() -> None:
    out = apply(Sampling(presence_penalty=-1.0, frequency_penalty=-0.5), [], [3, 3], torch.zeros(4))
    assert out.tolist() == [0.0, 0.0, 0.0, 2.0]


def test_bias_is_added_to_the_tokens_that_are_named() -> None:
    out = apply(Sampling(logit_bias=((1, -100.0), (3, 2.5))), [1], [3], torch.zeros(5))
    assert out.tolist() == [0.0, -100.0, 0.0, 2.5, 0.0]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(prompt=ids, answer=ids, penalty=st.sampled_from([0.7, 1.1, 1.9]), seed=st.integers(0, 99))
def test_repetition_is_that_of_transformers_over_prompt_and_answer(
    prompt: list[int], answer: list[int], penalty: float, seed: int
) -> None:
    logits = torch.randn(20, generator=torch.Generator().manual_seed(seed))
    said = torch.tensor([[*prompt, *answer]], dtype=torch.long)
    expected = RepetitionPenaltyLogitsProcessor(penalty)(said, logits[None].clone())[0]
    assert torch.equal(apply(Sampling(repetition_penalty=penalty), prompt, answer, logits), expected)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(prompt=ids, answer=ids, seed=st.integers(0, 99))
def test_it_is_a_function_of_the_tokens_and_not_of_when_it_was_asked(
    prompt: list[int], answer: list[int], seed: int
) -> None:
    sampling = Sampling(
        presence_penalty=0.3, frequency_penalty=0.7, repetition_penalty=1.3, logit_bias=((2, 1.5), (7, -3.0))
    )
    logits = torch.randn(20, generator=torch.Generator().manual_seed(seed))
    each_time = Penalties(sampling, prompt)
    for token in answer:
        each_time.apply(logits.clone())
        each_time.add(token)
    out = logits.clone()
    each_time.apply(out)
    assert torch.equal(out, apply(sampling, prompt, answer, logits))

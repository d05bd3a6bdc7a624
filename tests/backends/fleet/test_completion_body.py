from __future__ import annotations

import json

import pytest

from kvproxy.backends.fleet.completion_body import EngineKind, completion_fields, encoded_body
from kvproxy.core import Prompt, Sampling
from kvproxy.errors import UnsupportedParameter
from tests.backends.fleet.fleet_requests import a_generation


def fields(sampling: Sampling, kind: EngineKind = "vllm") -> dict[str, object]:
    made = completion_fields(a_generation((1, 2), sampling=sampling), kind=kind, model="m", salt="s", room=50)
    sent: dict[str, object] = json.loads(encoded_body((1, 2), made))
    return sent


def test_every_parameter_is_sent_so_that_no_default_of_the_replica_counts() -> None:
    found = fields(Sampling())
    assert found["prompt"] == [1, 2]
    assert (found["max_tokens"], found["temperature"], found["top_p"], found["top_k"]) == (50, 1.0, 1.0, -1)
    assert (found["min_p"], found["repetition_penalty"], found["presence_penalty"]) == (0.0, 1.0, 0.0)
    assert found["stream"] is True and found["cache_salt"] == "s"
    assert "seed" not in found and "logprobs" not in found and "stop" not in found


def test_all_of_a_sampling_reaches_the_replica() -> None:
    sampling = Sampling(
        temperature=0.0, top_k=5, logit_bias=((7, -1.5),), seed=3, max_tokens=9, min_tokens=4, ignore_eos=True,
        stop=("a",), stop_token_ids=(2,), logprobs=0,
    )  # fmt: skip
    found = fields(sampling)
    assert found["logit_bias"] == {"7": -1.5} and found["stop"] == ["a"] and found["stop_token_ids"] == [2]
    assert (found["seed"], found["min_tokens"], found["ignore_eos"], found["top_k"]) == (3, 4, True, 5)
    assert found["logprobs"] == 0 and found["return_tokens_as_token_ids"] is True
    assert found["skip_special_tokens"] is True  # end tokens go on being chosen, and are no text


@pytest.mark.parametrize("seed", [2**63, 2**64 - 1, -(2**63), -1, 0])
def test_a_seed_fits_into_64_bits_with_a_sign(seed: int) -> None:
    found = fields(Sampling(seed=seed))["seed"]
    assert isinstance(found, int) and -(2**63) <= found < 2**63 and (found - seed) % 2**64 == 0


def test_more_tokens_than_there_may_be_are_not_demanded() -> None:
    assert fields(Sampling(max_tokens=3, min_tokens=10))["min_tokens"] == 3


def test_sglang_has_no_ids_beside_logprobs() -> None:
    with pytest.raises(UnsupportedParameter) as failed:
        fields(Sampling(logprobs=1), "sglang")
    assert failed.value.param == "logprobs"


@pytest.mark.parametrize(
    ("prompt", "ignore_eos", "skipped"),
    [
        (Prompt((1, 2)), False, True),
        (Prompt((1, 2), reasoning="may"), False, False),
        (Prompt((1, 2), tool_format="mistral"), False, False),
        (Prompt((1, 2), reasoning="open"), True, True),
    ],
)
def test_special_tokens_are_text_where_marks_may_be_some(
    prompt: Prompt, ignore_eos: bool, skipped: bool
) -> None:
    generation = a_generation(prompt, sampling=Sampling(ignore_eos=ignore_eos))
    found = completion_fields(generation, kind="vllm", model="m", salt="s", room=5)
    assert found["skip_special_tokens"] is skipped

from __future__ import annotations

import pytest
import torch

from kvproxy.bench.engine.transformers_baseline import Baseline
from tests.engine.tiny import make_module, prompt


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline(make_module("llama", torch.float32))


@pytest.mark.filterwarnings("ignore::UserWarning")  # transformers' own, about its own settings
@pytest.mark.parametrize("lookup", [None, 10])
def test_an_answer_has_a_gap_between_all_its_tokens(baseline: Baseline, lookup: int | None) -> None:
    asked = prompt(1, 40) * 2
    made = baseline.answer(asked, 30, lookup=lookup)
    assert len(made.tokens) == 30 and len(made.gaps_s) == 29
    assert made.ttft_s > 0 and sum(made.gaps_s) > 0
    assert made.tokens == baseline.generate(asked, 30).tokens

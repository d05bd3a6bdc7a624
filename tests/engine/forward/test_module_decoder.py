from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Olmo2Config, Olmo2ForCausalLM, PreTrainedModel

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.tile_model import from_module
from tests.engine.harness import HarnessMaker
from tests.engine.tiny import VOCAB, prompt

SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 48,
    "intermediate_size": 100,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.2,
}


def unfused(kind: str, dtype: torch.dtype) -> PreTrainedModel:
    """Make a model of a family without a native forward."""
    torch.manual_seed(3)
    model: PreTrainedModel
    if kind == "llama with biases":
        model = LlamaForCausalLM(LlamaConfig(**SIZES, mlp_bias=True))
    else:
        model = Olmo2ForCausalLM(Olmo2Config(**SIZES))
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


@pytest.mark.parametrize("kind", ["llama with biases", "olmo2"])
def test_others_run_through_transformers_own_modules(kind: str, rigs: HarnessMaker) -> None:
    tokens = prompt(1, PAGE_TOKENS + 40)
    with torch.inference_mode():
        expected = unfused(kind, torch.float32).eval()(input_ids=torch.tensor([tokens])).logits[0]
    ours = rigs(from_module(unfused(kind, torch.float32), kind), pages=8).score(tokens, 0).logits
    assert torch.allclose(ours, expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_hit_is_exact_there_too(dtype: torch.dtype, rigs: HarnessMaker) -> None:
    rig = rigs(from_module(unfused("llama with biases", dtype), "biased"))
    tokens = prompt(2, PAGE_TOKENS + 60)
    cold = rig.cold(tokens, max_tokens=0, score_from=PAGE_TOKENS).logits
    for offset in (1, 17, 100, 255):
        rig.run((*tokens[:offset], 0), max_tokens=0, scope="d", readable=("d",))
        company = rig.submit(prompt(5, 90), max_tokens=20, scope="s")
        hit = rig.score(tokens, PAGE_TOKENS, scope="d", readable=("d",), register=False)
        assert hit.cached == offset
        assert torch.equal(hit.logits, cold), offset
        company.end()
        rig.evict_all()

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from kvproxy.engine.quantised.quantised_model import Weight, assemble
from kvproxy.engine.quantised.quantised_modules import QuantisedLinear
from kvproxy.engine.quantised.quantised_tensor import BlockKind
from kvproxy.errors import SetupError
from tests.engine.quantised.make_blocks import random_blocks

CONFIG = LlamaConfig(
    vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=2,
    max_position_embeddings=128, tie_word_embeddings=True,
)  # fmt: skip
GATE = "model.layers.0.mlp.gate_proj.weight"


def weights(**changed: Weight) -> dict[str, Weight]:
    torch.manual_seed(0)
    return {**dict(LlamaForCausalLM(CONFIG).named_parameters()), **changed}


def made(found: dict[str, Weight], keep: bool = True) -> Any:
    return assemble(CONFIG, found.items(), dtype=torch.float32, attention="sdpa", keep=keep)


def test_plain_weights_make_the_same_model() -> None:
    torch.manual_seed(0)
    model, ids = LlamaForCausalLM(CONFIG).eval(), torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(made(weights()).eval()(ids).logits, model(ids).logits, atol=1e-5)


def test_quantised_weights_are_kept_or_not() -> None:
    blocks = random_blocks(BlockKind.Q8_0, 96, 64)
    kept, plain = made(weights(**{GATE: blocks})), made(weights(**{GATE: blocks}), keep=False)
    own, other = kept.model.layers[0].mlp.gate_proj, plain.model.layers[0].mlp.gate_proj
    assert (
        isinstance(own, QuantisedLinear) and own.blocks is blocks and not isinstance(other, QuantisedLinear)
    )
    assert torch.equal(own.weight, other.weight)


def test_a_tied_head_has_the_blocks_of_the_embedding() -> None:
    blocks = random_blocks(BlockKind.Q8_0, 64, 64)
    model = made(weights(**{"model.embed_tokens.weight": blocks}))
    assert model.lm_head.blocks is blocks


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({GATE: torch.zeros(64, 96)}, "is of shape"),
        ({"model.layers.1.input_layernorm.weight": torch.zeros(64)}, "does not know"),
        ({"model.norm.weight": random_blocks(BlockKind.Q8_0, 1, 32)}, "is of shape"),
    ],
)
def test_weights_that_do_not_fit_are_named(changed: dict[str, Weight], reason: str) -> None:
    with pytest.raises(SetupError, match=reason):
        made(weights(**changed))


def test_missing_weights_are_named() -> None:
    found = weights()
    del found[GATE]
    with pytest.raises(SetupError, match=r"have no model\.layers\.0\.mlp\.gate_proj"):
        made(found)

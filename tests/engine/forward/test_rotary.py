from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from kvproxy.engine.forward.rotary import Rotary, paired, pairs


def embedding(dim: int, **rope: Any) -> LlamaRotaryEmbedding:
    config = LlamaConfig(hidden_size=4 * dim, num_attention_heads=4, max_position_embeddings=512)
    if rope:
        config.rope_parameters = {"rope_theta": 10_000.0, **rope}
    return LlamaRotaryEmbedding(config)


@pytest.mark.parametrize("dim", [8, 24, 64])
@pytest.mark.parametrize(
    "rope",
    [{}, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}],
    ids=["default", "yarn"],
)
def test_it_turns_as_transformers_does(dim: int, rope: dict[str, Any]) -> None:
    torch.manual_seed(1)
    module = embedding(dim, **rope)
    rotary = Rotary(module, dim, 512, scale=0.25)
    positions = torch.tensor([0, 1, 100, 511])
    x = torch.randn(4, 3, dim)
    cos, sin = module(x, positions.unsqueeze(0))
    expected, _ = apply_rotary_pos_emb(x.transpose(0, 1)[None], x.transpose(0, 1)[None], cos, sin)
    order = paired(1, dim, torch.device("cpu"))
    k, q = torch.empty_like(x), torch.empty_like(x)
    angles = rotary.angles(positions)
    rotary.turn(pairs(x[..., order]), angles.k, pairs(k))
    rotary.turn(pairs(x[..., order]), angles.q[:, 0], pairs(q))
    wanted = expected[0].transpose(0, 1)[..., order]
    assert torch.allclose(k, wanted, atol=1e-5)
    assert torch.allclose(q, wanted * 0.25 * math.log2(math.e), atol=1e-5)


def test_both_ways_of_turning_give_the_same_bits() -> None:
    torch.manual_seed(2)
    rotary = Rotary(embedding(64), 64, 512, scale=0.125)
    x, angles = torch.randn(16, 5, 64), rotary.angles(torch.arange(16) * 31).k
    direct, apart = torch.empty_like(x), torch.empty_like(x)
    rotary._direct = True
    rotary.turn(pairs(x), angles, pairs(direct))
    rotary._direct = False
    rotary.turn(pairs(x), angles, pairs(apart))
    assert torch.equal(direct, apart)


def test_pairs() -> None:
    assert paired(2, 6, torch.device("cpu")).tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]

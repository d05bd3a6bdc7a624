"""Random weights that are good for measuring: the published sizes, the same every time, sane activations."""

from __future__ import annotations

import pytest
import torch

from kvproxy.bench.engine.random_models import SHAPES, random_module, shape_named
from kvproxy.errors import SetupError


@pytest.mark.parametrize(
    ("name", "parameters"),
    # What the hub's model cards say, without the output head, which is tied.
    [("qwen3-0.6b", 596_049_920), ("qwen3-4b", 4_022_468_096)],
)
def test_a_shape_has_the_published_number_of_parameters(name: str, parameters: int) -> None:
    shape = SHAPES[name]
    heads = shape.head_dim * (2 * shape.heads + 2 * shape.kv_heads)
    layer = shape.hidden * (heads + 3 * shape.intermediate) + 2 * shape.hidden + 2 * shape.head_dim
    assert shape.vocab * shape.hidden + shape.layers * layer + shape.hidden == parameters


def test_names() -> None:
    assert shape_named("Qwen/Qwen3-4B") is None
    assert shape_named("shape:qwen3-4b") == SHAPES["qwen3-4b"]
    with pytest.raises(SetupError, match=r"shape:qwen3-0\.6b"):
        shape_named("shape:qwen9")


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second, other = (random_module(SHAPES["tiny"], seed=seed) for seed in (1, 1, 2))
    weights, again = first.state_dict(), second.state_dict()
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    name = "model.layers.1.mlp.up_proj.weight"
    assert not torch.equal(weights[name], other.state_dict()[name])


def test_no_two_rows_are_equal() -> None:
    weights = random_module(SHAPES["tiny"]).state_dict()
    for name in ("model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight"):
        assert len(weights[name].unique(dim=0)) == len(weights[name])
    one, two = (weights[f"model.layers.{i}.mlp.up_proj.weight"] for i in (0, 1))
    assert not torch.equal(one, two)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_logits_are_neither_flat_nor_the_tokens_themselves(dtype: torch.dtype) -> None:
    model = random_module(SHAPES["tiny"], dtype)
    ids = torch.arange(100).unsqueeze(0)
    with torch.inference_mode():
        logits = model(ids).logits[0].float()
    assert logits.isfinite().all()
    assert 1.5 < float(logits.std()) < 4
    best = logits.argmax(-1)
    assert int((best == ids[0]).sum()) < 10
    assert len(best.unique()) > 20
    assert next(model.parameters()).dtype == dtype
    assert model.model.rotary_emb.inv_freq.dtype == torch.float32

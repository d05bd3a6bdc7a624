from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig
from transformers.activations import ACT2FN
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.forward.native_modules import ActivationByRow, RotaryByRow, attends_natively


@pytest.mark.parametrize("name", ["silu", "gelu", "gelu_pytorch_tanh"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_an_activations_bits_depend_on_the_row_alone(name: str, dtype: torch.dtype) -> None:
    """Widths that divide no vector, and more elements than one thread takes."""
    activation = ActivationByRow(ACT2FN[name])
    x = torch.randn(1, 300, 331, generator=torch.Generator().manual_seed(1)).to(dtype)
    whole = activation(x)
    assert torch.allclose(whole, ACT2FN[name](x), atol=1e-6 if dtype == torch.float32 else 1e-2)
    for start, end in ((0, 1), (7, 9), (299, 300), (100, 231)):
        assert torch.equal(activation(x[:, start:end]), whole[:, start:end])


def test_a_rotary_embeddings_bits_depend_on_the_position_alone() -> None:
    config = LlamaConfig(hidden_size=6 * 22, num_attention_heads=6, head_dim=22)
    embedding = LlamaRotaryEmbedding(config)
    rotary, x, at = RotaryByRow(embedding), torch.zeros(1, 70, 132), torch.arange(5, 75)[None]
    whole = rotary(x, at)
    assert torch.allclose(torch.stack(whole), torch.stack(embedding(x, at)), atol=1e-6)
    for start, end in ((0, 1), (1, 4), (33, 70)):
        parts = rotary(x[:, start:end], at[:, start:end])
        assert all(torch.equal(a, b[:, start:end]) for a, b in zip(parts, whole, strict=True))


@pytest.mark.parametrize(("dim", "fits"), [(16, True), (80, True), (256, True), (24, False), (272, False)])
def test_heads_of_whole_vectors_fit(dim: int, fits: bool) -> None:
    assert attends_natively(PageShape(2, 2, dim, torch.bfloat16)) is fits

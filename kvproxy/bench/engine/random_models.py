"""Models of a published shape with random weights: for measuring speed and memory where the weights do not matter.

Random weights cannot show real answers, a real acceptance rate of drafts, and how well real KV compresses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM
from transformers.initialization import no_init_weights

from kvproxy.engine.models.source import SHAPE_PREFIX
from kvproxy.errors import SetupError

_BLOCK = 4_194_301
"""Random numbers that all weights are cut from, a prime, so that no two rows of a matrix begin at the same one."""
_LAYER_GAIN = 4.0
"""Gain of a layer over a variance-preserving one. The embedding is tied to the head, so a residual
stream in which it stayed loud would answer every token with itself."""
_QUERY_GAIN = 2.5
"""Standard deviation of the attention scores, which would average everything away at 1."""
_LOGIT_STD = 2.5


@dataclass(frozen=True, slots=True)
class Shape:
    """A Qwen3 configuration, as published."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int = 151_936
    max_context: int = 40_960

    def config(self) -> Qwen3Config:
        """Return the transformers configuration of this shape."""
        return Qwen3Config(
            vocab_size=self.vocab,
            hidden_size=self.hidden,
            intermediate_size=self.intermediate,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            head_dim=self.head_dim,
            max_position_embeddings=self.max_context,
            rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
            tie_word_embeddings=True,
        )


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "qwen3-0.6b": Shape(1024, 28, 16, 8, 128, 3072),
        "qwen3-4b": Shape(2560, 36, 32, 8, 128, 9728),
        # For tests: milliseconds rather than minutes.
        "tiny": Shape(64, 2, 4, 2, 16, 96, vocab=512, max_context=8192),
    }
)


def shape_named(model: str) -> Shape | None:
    """Return the shape that ``shape:NAME`` means; None where ``model`` names no shape but a model.

    Raises SetupError for a shape that is not known.
    """
    if not model.startswith(SHAPE_PREFIX):
        return None
    shape = SHAPES.get(model.removeprefix(SHAPE_PREFIX))
    if shape is None:
        known = ", ".join(SHAPE_PREFIX + name for name in SHAPES if name != "tiny")
        raise SetupError(f"there is no {model}; the shapes are {known}")
    return shape


def random_module(shape: Shape, dtype: torch.dtype = torch.bfloat16, seed: int = 7) -> PreTrainedModel:
    """Return a Qwen3 of this shape with normally distributed weights, the same for the same seed; 4B take seconds.

    Activations stay of order 1 to 100 and logits have a standard deviation of about 2.5, so that greedy answers are
    neither one token for ever nor decided by the last bit.

    Example: ``random_module(SHAPES["qwen3-0.6b"], torch.float32, seed=1)``
    """
    block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(seed))
    with no_init_weights():
        # The rotary frequencies are computed in float32 whatever the dtype.
        model: PreTrainedModel = Qwen3ForCausalLM._from_config(shape.config(), dtype=dtype)
    model.tie_weights()
    scaled: dict[float, torch.Tensor] = {}
    with torch.no_grad():
        for number, (name, parameter) in enumerate(model.named_parameters()):
            if parameter.dim() == 1:
                parameter.fill_(_QUERY_GAIN if "q_norm" in name else 1.0)
                continue
            std = _std(name, parameter.shape[1])
            if std not in scaled:
                scaled[std] = (block * std).to(dtype)
            _fill(parameter.view(-1), scaled[std], start=number * 1_000_003 % _BLOCK)
    model.requires_grad_(False).eval()
    return model


def _fill(flat: torch.Tensor, block: torch.Tensor, *, start: int) -> None:
    """``flat``, in place, with the block from ``start`` on, again and again."""
    at = 0
    while at < flat.numel():
        piece = block[start : start + flat.numel() - at]
        flat[at : at + piece.numel()] = piece
        at, start = at + piece.numel(), 0


def _std(name: str, width: int) -> float:
    if "embed_tokens" in name:
        return _LOGIT_STD / math.sqrt(width)
    if "o_proj" in name or "down_proj" in name:
        return _LAYER_GAIN / math.sqrt(width)
    return 1 / math.sqrt(width)

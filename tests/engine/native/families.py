"""Tiny configurations of the families that have a native decoder, of sizes that divide no vector."""

from __future__ import annotations

from typing import Any

VOCAB = 101
_COMMON: dict[str, Any] = {
    "vocab_size": VOCAB,
    "num_hidden_layers": 3,
    "max_position_embeddings": 2048,
    "initializer_range": 0.2,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "sliding_window": None,
}


def _sized(
    hidden: int, heads: int, kv_heads: int, dim: int, intermediate: int, **others: Any
) -> dict[str, Any]:
    return {
        **_COMMON,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": dim,
        "intermediate_size": intermediate,
        **others,
    }


FAMILY_FIELDS: dict[str, dict[str, Any]] = {
    "llama": _sized(
        54,
        6,
        2,
        16,
        102,
        attention_bias=True,
        mlp_bias=True,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256,
        },
    ),
    "mistral": _sized(64, 4, 1, 48, 98),
    "qwen2": _sized(
        50, 5, 5, 32, 70, rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
    ),
    "qwen3": _sized(
        48,
        6,
        2,
        80,
        100,
        tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 512,
        },
    ),
    "smollm3": _sized(48, 4, 2, 16, 96, no_rope_layers=[1, 0, 1], use_sliding_window=False),
}
"""By transformers' ``model_type``: fields of the configuration."""

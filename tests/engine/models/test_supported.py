from __future__ import annotations

from typing import Any

import pytest
import transformers

from kvproxy.engine.models.supported import check_supported, unsupported_reason
from kvproxy.errors import SetupError


def config(name: str, **fields: Any) -> Any:
    return getattr(transformers, name)(**fields)


@pytest.mark.parametrize("name", ["Qwen3Config", "Qwen2Config", "LlamaConfig"])
def test_dense_decoders_are_served(name: str) -> None:
    assert unsupported_reason(config(name)) is None
    check_supported(config(name))


@pytest.mark.parametrize("kind", ["linear", "llama3", "yarn"])
def test_fixed_rotary_embeddings_are_served(kind: str) -> None:
    rope: dict[str, Any] = {"rope_type": kind, "rope_theta": 10_000.0, "factor": 2.0}
    if kind == "llama3":
        rope |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 1024}
    if kind == "yarn":
        rope |= {"original_max_position_embeddings": 1024}
    assert unsupported_reason(config("LlamaConfig", rope_parameters=rope)) is None


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("MixtralConfig", {"sliding_window": None}, "mixture of experts"),
        ("Qwen3MoeConfig", {}, "mixture of experts"),
        ("Gemma2Config", {}, "sliding"),
        ("Gemma3TextConfig", {}, "sliding"),
        ("MistralConfig", {}, "sliding-window"),
        ("MambaConfig", {}, "linear_attention"),
        ("JambaConfig", {}, "linear_attention"),
        ("T5Config", {}, "encoder-decoder"),
        ("BartConfig", {}, "encoder-decoder"),
        ("LlavaConfig", {}, "multimodal"),
        ("Qwen2VLConfig", {}, "multimodal"),
        ("DeepseekV3Config", {}, "mixture of experts"),
        ("DeepseekV3Config", {"n_routed_experts": 0, "num_local_experts": 0}, "multi-head latent"),
        ("CohereConfig", {}, "scaled"),
        ("GraniteConfig", {"logits_scaling": 8.0}, "scaled"),
        ("GPT2Config", {}, "rotary"),
        ("Qwen2Config", {"use_sliding_window": True, "max_window_layers": 0}, "sliding"),
    ],
)
def test_others_are_refused_with_a_reason(name: str, fields: dict[str, Any], reason: str) -> None:
    found = unsupported_reason(config(name, **fields))
    assert found is not None and reason in found
    with pytest.raises(SetupError, match="cannot be served: ") as caught:
        check_supported(config(name, **fields))
    assert found in caught.value.message and "Qwen3" in caught.value.message


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_a_rotary_embedding_that_changes_with_the_length_is_refused(kind: str) -> None:
    rope = {"rope_type": kind, "rope_theta": 10_000.0, "factor": 2.0}
    if kind == "longrope":
        rope |= {
            "short_factor": [1.0] * 64,
            "long_factor": [2.0] * 64,
            "original_max_position_embeddings": 1024,
        }
    found = unsupported_reason(config("LlamaConfig", rope_parameters=rope))
    assert found is not None and f"'{kind}'" in found

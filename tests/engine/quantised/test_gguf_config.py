from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvproxy.engine.quantised.gguf_config import model_config
from kvproxy.engine.quantised.gguf_file import GgufFile
from kvproxy.errors import SetupError
from tests.engine.quantised.make_gguf import make_gguf


def config(path: Path, architecture: str = "llama", **metadata: Any) -> dict[str, Any]:
    make_gguf(path / "tiny.gguf", architecture, **metadata)
    return model_config(GgufFile(path / "tiny.gguf"))


def test_sizes_and_kinds(tmp_path: Path) -> None:
    made = config(tmp_path, "qwen3")
    assert made["architectures"] == ["Qwen3ForCausalLM"] and made["head_dim"] == 64
    assert (made["hidden_size"], made["intermediate_size"], made["vocab_size"]) == (256, 512, 259)
    assert made["rms_norm_eps"] == 1e-5 and made["tie_word_embeddings"] and made["eos_token_id"] == 258
    assert made["rope_parameters"] == {"rope_theta": 10000.0, "rope_type": "default"}


def test_yarn(tmp_path: Path) -> None:
    scaling = {"type": "yarn", "factor": 4.0, "original_context_length": 1024}
    made = config(tmp_path, **{f"llama__rope__scaling__{k}": v for k, v in scaling.items()})
    assert made["rope_parameters"] == {
        **{"rope_theta": 10000.0, "rope_type": "yarn", "factor": 4.0},
        "original_max_position_embeddings": 1024,
    }


@pytest.mark.parametrize(
    ("architecture", "metadata", "reason"),
    [
        ("gemma3", {}, "architecture gemma3"),
        ("llama", {"llama__expert_count": 8}, "mixture of experts"),
        ("llama", {"llama__rope__dimension_count": 32}, "a part of each head"),
        ("llama", {"llama__rope__scaling__type": "longrope"}, "no rotary scaling 'longrope'"),
        ("llama", {"split__count": 3}, "one of several parts"),
    ],
)
def test_models_that_are_refused(
    tmp_path: Path, architecture: str, metadata: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SetupError, match=reason):
        config(tmp_path, architecture, **metadata)

"""`model_config`: transformers' config.json out of a GGUF file's metadata."""

from __future__ import annotations

from typing import Any

from kvproxy.engine.quantised.gguf_file import GgufFile
from kvproxy.errors import SetupError

ARCHITECTURES = {
    "llama": ("llama", "LlamaForCausalLM"),
    "qwen2": ("qwen2", "Qwen2ForCausalLM"),
    "qwen3": ("qwen3", "Qwen3ForCausalLM"),
    "smollm3": ("smollm3", "SmolLM3ForCausalLM"),
}
"""By GGUF's architecture (Mistral's files are of ``llama``): transformers' model type and class."""


def model_config(file: GgufFile) -> dict[str, Any]:
    """Return the content of config.json. Raises SetupError for a model that kvproxy cannot compute from a GGUF."""
    if file.architecture not in ARCHITECTURES:
        raise SetupError(
            f"{file.path.name} is of architecture {file.architecture}: kvproxy reads GGUF files of "
            f"{', '.join(ARCHITECTURES)}"
        )
    kind, name = ARCHITECTURES[file.architecture]
    get = _Keys(file)
    hidden, heads = int(get("embedding_length")), int(get("attention.head_count"))
    head_dim = int(get("attention.key_length", None) or hidden // heads)
    if int(get("rope.dimension_count", None) or head_dim) != head_dim:
        raise SetupError(f"{file.path.name} turns only a part of each head (rotary embedding)")
    if int(get("expert_count", None) or 0):
        raise SetupError(
            f"{file.path.name} is a mixture of experts, whose routing is not computed row by row"
        )
    names = file.tensor_names()
    return {
        "architectures": [name],
        "model_type": kind,
        "dtype": "bfloat16",
        "vocab_size": len(file.metadata["tokenizer.ggml.tokens"]),
        "hidden_size": hidden,
        "intermediate_size": int(get("feed_forward_length")),
        "num_hidden_layers": int(get("block_count")),
        "num_attention_heads": heads,
        "num_key_value_heads": int(get("attention.head_count_kv", None) or heads),
        "head_dim": head_dim,
        "hidden_act": "silu",
        "attention_bias": kind != "qwen2" and "blk.0.attn_q.bias" in names,
        "max_position_embeddings": int(get("context_length")),
        # The file keeps it in float32: 9.999999747e-06 was 1e-05 when the model was trained.
        "rms_norm_eps": float(f"{get('attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_parameters": _rope(get),
        "tie_word_embeddings": file.tied,
        "use_cache": True,
    } | special_ids(file.metadata)


def special_ids(metadata: dict[str, Any]) -> dict[str, int]:
    """Return the ids of the tokens that begin, end and pad a text, as far as the file has them."""
    found = {
        ours: metadata.get(f"tokenizer.ggml.{theirs}_token_id")
        for ours, theirs in (("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding"))
    }
    return {name: int(value) for name, value in found.items() if value is not None}


class _Keys:
    def __init__(self, file: GgufFile) -> None:
        self._file = file

    def __call__(self, key: str, *default: Any) -> Any:
        found = self._file.metadata.get(f"{self._file.architecture}.{key}", *default)
        if found is None and not default:
            raise SetupError(f"{self._file.path.name} does not say its {key}")
        if isinstance(found, list):
            raise SetupError(f"{self._file.path.name} has another {key} in each layer")
        return found


def _rope(get: _Keys) -> dict[str, Any]:
    parameters: dict[str, Any] = {"rope_theta": float(get("rope.freq_base", 10000.0))}
    kind = get("rope.scaling.type", "none")
    if kind in ("none", None):
        return parameters | {"rope_type": "default"}
    if kind == "linear":
        return parameters | {"rope_type": "linear", "factor": float(get("rope.scaling.factor"))}
    if kind == "yarn":
        return parameters | {
            "rope_type": "yarn",
            "factor": float(get("rope.scaling.factor")),
            "original_max_position_embeddings": int(get("rope.scaling.original_context_length")),
        }
    raise SetupError(f"there is no rotary scaling {kind!r}")

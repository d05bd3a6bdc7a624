"""Check that a model's configuration is supported: a dense decoder with full attention and RoPE.

Others are refused with a reason.
"""

from __future__ import annotations

from typing import Any

from kvproxy.errors import SetupError

_FIXED_ROPE = {"default", "linear", "llama3", "yarn"}
_LOGIT_SCALES = ("logit_scale", "logits_scaling", "lm_head_multiplier", "final_logit_softcapping")

_SIZES = (
    "num_attention_heads", "num_key_value_heads", "num_hidden_layers", "hidden_size", "intermediate_size",
    "vocab_size", "max_position_embeddings",
)  # fmt: skip


def check_supported(config: Any) -> None:
    """Raise SetupError naming the feature that the engine cannot compute exactly. ``config``: transformers'."""
    reason = unsupported_reason(config)
    if reason is not None:
        raise SetupError(
            f"{getattr(config, 'model_type', 'this model')} cannot be served: {reason}. "
            "kvproxy needs a dense decoder with full attention and RoPE, such as Qwen3, Qwen2 or Llama."
        )


def unsupported_reason(config: Any) -> str | None:
    """Return None when the model can be served, else the reason in a clause."""

    def get(name: str) -> Any:
        return getattr(config, name, None)

    if get("is_encoder_decoder"):
        return "it is an encoder-decoder"
    if get("vision_config") is not None or get("audio_config") is not None or get("text_config") is not None:
        return "it is multimodal"
    kinds = set(get("layer_types") or ()) - {"full_attention"}
    if kinds:
        return f"it has layers of kind {', '.join(sorted(kinds))}"
    if get("sliding_window") and get("use_sliding_window") is not False:
        return "it uses sliding-window attention"
    if get("num_local_experts") or get("num_experts") or get("n_routed_experts"):
        return "it is a mixture of experts, whose routing is not computed row by row"
    if get("ssm_cfg") or get("mamba_d_state") or get("ssm_state_size"):
        return "it keeps a recurrent state besides attention"
    if get("kv_lora_rank"):
        return "it compresses its KV (multi-head latent attention)"
    if get("attn_logit_softcapping") or get("attention_chunk_size"):
        return "its attention scores are altered (soft-capping or chunks)"
    if any(get(name) not in (None, 1, 1.0) for name in _LOGIT_SCALES):
        return "its logits are scaled behind the output head"
    rope = get("rope_parameters") or get("rope_scaling") or {}
    kind = rope.get("rope_type", "default") if isinstance(rope, dict) else "default"
    if kind not in _FIXED_ROPE:
        return f"its rotary embedding ('{kind}') changes with the length of the prompt"
    if not rope and get("rope_theta") is None:
        return "it has no rotary position embedding"
    for name in _SIZES:
        if not isinstance(get(name), int) or get(name) < 1:
            return f"its configuration names no {name}"
    if get("num_attention_heads") % get("num_key_value_heads"):
        return "its query heads cannot be shared out among its key-value heads"
    return None

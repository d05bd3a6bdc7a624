"""A tiny GGUF model for tests: random weights, a tokenizer of single bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quantize
from tokenizers.pre_tokenizers import ByteLevel

from tests.engine.quantised.make_blocks import Floats, quantise_q4_k

HIDDEN, INTERMEDIATE, LAYERS, HEADS, KV_HEADS, DIM = 256, 512, 2, 4, 2, 64


def byte_tokens() -> list[str]:
    """Return the 256 bytes as ByteLevel spells them, a merged pair, and two tokens of a chat."""
    return [*sorted(ByteLevel.alphabet()), "ab", "<|im_start|>", "<|im_end|>"]


def make_gguf(path: Path, architecture: str = "llama", *, v: str = "Q8_0", **metadata: Any) -> dict[str, Floats]:
    """Write the model, and return its plain weights by GGUF's names.

    Matrices are Q4_K but for v of ``v`` and the embedding of Q8_0. Example: ``make_gguf(tmp_path / "tiny.gguf")``
    """
    writer, tokens = GGUFWriter(path, architecture), byte_tokens()
    writer.add_context_length(4096)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(DIM)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 257 + [3, 3])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(258)
    writer.add_chat_template("{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}")
    for key, value in metadata.items():
        writer.add_key_value(key.replace("__", "."), value, _type(value))
    weights = random_weights(architecture)
    for name, values in weights.items():
        _add(writer, name, values, v)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def _type(value: Any) -> Any:
    from gguf import GGUFValueType

    return GGUFValueType.get_type(value)


def _add(writer: GGUFWriter, name: str, values: Floats, v: str) -> None:
    if values.ndim == 1:
        writer.add_tensor(name, values)
    elif "token_embd" in name or "attn_v" in name:
        kind = GGMLQuantizationType["Q8_0" if "token_embd" in name else v]
        writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    else:
        blocks = quantise_q4_k(values).blocks
        writer.add_tensor(name, blocks, raw_dtype=GGMLQuantizationType.Q4_K)


def random_weights(architecture: str) -> dict[str, Floats]:
    """Make the weights of all tensors, [out, in] or [components]."""
    generator = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> Floats:
        return (generator.standard_normal((rows, columns)) / columns**0.5).astype(np.float32)

    weights = {"token_embd.weight": matrix(259, HIDDEN) * 8, "output_norm.weight": np.ones(HIDDEN, np.float32)}
    for i in range(LAYERS):
        own = {
            "attn_norm": np.ones(HIDDEN, np.float32),
            "attn_q": matrix(HEADS * DIM, HIDDEN),
            "attn_k": matrix(KV_HEADS * DIM, HIDDEN),
            "attn_v": matrix(KV_HEADS * DIM, HIDDEN),
            "attn_output": matrix(HIDDEN, HEADS * DIM),
            "ffn_norm": np.ones(HIDDEN, np.float32),
            "ffn_gate": matrix(INTERMEDIATE, HIDDEN),
            "ffn_up": matrix(INTERMEDIATE, HIDDEN),
            "ffn_down": matrix(HIDDEN, INTERMEDIATE),
        }
        if architecture == "qwen3":
            own |= {"attn_q_norm": np.ones(DIM, np.float32), "attn_k_norm": np.ones(DIM, np.float32)}
        weights |= {f"blk.{i}.{name}.weight": values for name, values in own.items()}
    return weights

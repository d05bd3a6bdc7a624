"""Writes a GGUF with SmolLM2's layout and two tiny layers, whose weights a test can foretell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN, LAYERS = 16, 2, 1, 8, 32, 2
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"

Weights = dict[str, npt.NDArray[np.float32]]


def byte_alphabet() -> list[str]:
    """The 256 visible characters that GPT-2's BPE writes bytes with, in the order of the bytes."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in visible}
    hidden = (b for b in range(256) if b not in table)
    table.update({b: chr(256 + n) for n, b in enumerate(hidden)})
    return [table[b] for b in range(256)]


def tokens() -> list[str]:
    return ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *byte_alphabet(), "he", "Ġhe", "11"]


def random_weights(seed: int = 0) -> Weights:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> npt.NDArray[np.float32]:
        return rng.standard_normal(shape).astype(np.float32)

    weights = {"token_embd.weight": normal(len(tokens()), HIDDEN), "output_norm.weight": normal(HIDDEN)}
    for i in range(LAYERS):
        weights |= {
            f"blk.{i}.attn_norm.weight": normal(HIDDEN),
            f"blk.{i}.ffn_norm.weight": normal(HIDDEN),
            f"blk.{i}.attn_q.weight": normal(HEADS * HEAD_DIM, HIDDEN),
            f"blk.{i}.attn_k.weight": normal(KV_HEADS * HEAD_DIM, HIDDEN),
            f"blk.{i}.attn_v.weight": normal(KV_HEADS * HEAD_DIM, HIDDEN),
            f"blk.{i}.attn_output.weight": normal(HIDDEN, HEADS * HEAD_DIM),
            f"blk.{i}.ffn_gate.weight": normal(FFN, HIDDEN),
            f"blk.{i}.ffn_up.weight": normal(FFN, HIDDEN),
            f"blk.{i}.ffn_down.weight": normal(HIDDEN, FFN),
        }
    return weights


def write_gguf(path: Path, weights: Weights) -> None:
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(100000.0)
    writer.add_vocab_size(len(tokens()))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens())
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens()) - 3))
    writer.add_token_merges(["h e", "Ġ he", "1 1"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    for name, values in weights.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

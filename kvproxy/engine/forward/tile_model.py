"""`TileModel`: a transformers model that runs on tiles, and the ways to load one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as hf_logging

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.forward.kernel_digest import kernel_digest
from kvproxy.engine.forward.module_decoder import ATTENTION, register_attention
from kvproxy.engine.forward.open_tiles import open_tiles
from kvproxy.engine.models.supported import check_supported
from kvproxy.engine.native.first_layer import FirstLayer
from kvproxy.engine.native.kernel_library import Kernels, load_kernels
from kvproxy.engine.native.native_decoder import runs_natively
from kvproxy.engine.native.native_tiles import NativeTiles
from kvproxy.engine.quantised.load_quantised import is_quantised, load_quantised
from kvproxy.engine.tiling.numerics import Numerics
from kvproxy.errors import SetupError

FORMAT = 4
"""Raise it when the order of operations changes in a way that changes bits."""


class TileModel:
    """A loaded model: its ``tiles``, its sizes and its fingerprint. Built by :func:`load_model`; for one thread."""

    def __init__(self, model: nn.Module, config: Any, fingerprint_base: str) -> None:
        """Take a transformers model over, and compute what its fingerprint consists of.

        Example: ``TileModel(model, model.config, fingerprint_base)``
        """
        self.config = config
        self.device = next(model.parameters()).device
        self.dtype: torch.dtype = next(model.parameters()).dtype
        self.group = config.num_attention_heads // config.num_key_value_heads
        self.head_dim = int(
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        self.vocab_size = int(config.vocab_size)
        self.max_context = int(config.max_position_embeddings)
        self.page_shape = PageShape(
            config.num_hidden_layers, config.num_key_value_heads, self.head_dim, self.dtype
        )
        self.tiles = open_tiles(model, self.page_shape, self.device)
        digest = kernel_digest(
            self.tiles,
            self.page_shape,
            vocab=self.vocab_size,
            context=self.max_context,
            device=self.device,
        )
        self.numerics = replace(self.numerics, exact=self.numerics.exact and digest.agrees)
        self.identity: Mapping[str, str] = MappingProxyType(
            {
                "format": str(FORMAT),
                "model": fingerprint_base,
                "dtype": str(self.dtype),
                "device": self.device.type,
                "page": str(PAGE_TOKENS),
                "kernel": self.numerics.kernel,
                "tiles": str(self.numerics.sizes),
                **self.tiles.causes,
                "results": digest.sha256,
            }
        )
        """The parts of ``fingerprint`` by name: known causes of other bits, and a digest for the unknown ones."""
        self.fingerprint = _fingerprint(self.identity)

    @property
    def numerics(self) -> Numerics:
        """The tile sizes and their exactness. Fewer tiles than these serve the same answers."""
        return self.tiles.numerics

    @numerics.setter
    def numerics(self, numerics: Numerics) -> None:
        """Set the numerics of the tiles: fewer tile sizes, with the same bits."""
        self.tiles.numerics = numerics

    def pool(self, pages: int) -> PagePool:
        """Make a pool of ``pages`` pages, the scratch page included, in the layout of the tiles' kernels."""
        return PagePool(self.page_shape, pages, self.device, self.tiles.page_layout)

    def first_layer(self) -> FirstLayer | None:
        """Return what computes layer 0's K and V from token ids; None where its bits are not shown to be the tiles'."""
        exact = isinstance(self.tiles, NativeTiles) and self.numerics.exact
        return self.tiles.first_layer() if isinstance(self.tiles, NativeTiles) and exact else None

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Apply the output head: [R, hidden] -> float32 [R, vocab]."""
        return self.tiles.logits(hidden)


def load_model(
    folder: Path,
    *,
    dtype: torch.dtype,
    device: torch.device,
    tokenizer_digest: str,
    template_digest: str,
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> TileModel:
    """Load a model folder for serving. Raises SetupError when it cannot be served or read.

    Example: ``load_model(folder, dtype=dtype, device=pick_device("auto"), tokenizer_digest=a, template_digest=b)``
    """
    say = progress or (lambda _: None)
    if threads is not None:
        torch.set_num_threads(threads)
    config = read_config(folder)
    check_supported(config)
    say("hashing weights")
    weights = weights_digest(folder)
    say("loading weights")
    register_attention()
    _join_the_log()
    try:
        if is_quantised(folder, config):
            keep = (
                device.type == "cpu" and runs_natively(config, dtype) and isinstance(load_kernels(), Kernels)
            )
            model = load_quantised(folder, config, dtype=dtype, attention=ATTENTION, keep=keep)
        else:
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, attn_implementation=ATTENTION, local_files_only=True
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as e:
        raise SetupError(f"cannot load the model in {folder}: {e}") from e
    if device.type == "cuda":
        # Of this thread, on which all kernels run.
        torch.cuda.set_device(device)
    model.requires_grad_(False).eval().to(device)
    say("preparing kernels")
    base = f"{weights}:{tokenizer_digest}:{template_digest}:{config_digest(config)}"
    return TileModel(model, model.config, base)


def from_module(model: nn.Module, name: str) -> TileModel:
    """Make a TileModel of a model that was made in memory (random weights; tests and benchmarks)."""
    register_attention()
    config: Any = model.config
    check_supported(config)
    config._attn_implementation = ATTENTION
    model.requires_grad_(False).eval()
    return TileModel(model, config, f"memory:{name}:{config_digest(config)}")


def read_config(folder: Path) -> Any:
    """Read a model folder's transformers config. Raises SetupError."""
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as e:
        raise SetupError(f"cannot read a model configuration in {folder}: {e}") from e


def pick_device(name: str) -> torch.device:
    """Return the device of that name: ``auto`` is CUDA where there is one, else the CPU.

    A CUDA device has its number. Raises SetupError.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as e:
        raise SetupError(f"unknown device '{name}'; use auto, cpu or cuda") from e
    if device.type != "cuda":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = 0 if device.index is None else device.index
    if index >= count:
        raise SetupError(f"there is no device {name}: torch {torch.__version__} sees {count} CUDA devices")
    return torch.device("cuda", index)


def config_digest(config: Any) -> str:
    """Return a digest of everything in the configuration that changes the computation.

    Names and versions are left out.
    """
    fields = {
        k: v
        for k, v in config.to_dict().items()
        if k not in {"_name_or_path", "transformers_version", "dtype"}
    }
    return hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()


def weights_digest(folder: Path) -> str:
    """Return sha256 over the weight files, in name order; 8 GB take a few seconds, and are worth it."""
    files = sorted((*folder.glob("*.safetensors"), *folder.glob("*.gguf")))
    if not files:
        raise SetupError(
            f"no *.safetensors and no *.gguf in {folder}; kvproxy loads nothing that would have to be unpickled"
        )
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as f:
            digest.update(hashlib.file_digest(f, "sha256").digest())
    return digest.hexdigest()


def _join_the_log() -> None:
    """Send transformers' errors where all lines of the log go, in that log's form; its other lines and bars nowhere."""
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    hf_logging.disable_default_handler()
    hf_logging.enable_propagation()


def _fingerprint(parts: Mapping[str, str]) -> str:
    """Return one hex digest of everything that the bits depend on."""
    return hashlib.sha256("|".join(f"{k}={v}" for k, v in parts.items()).encode()).hexdigest()

"""`TileModel`: a transformers model that runs on tiles, with its own modules, our linear kernels and our attention."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as hf_logging

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.forward.forward_check import check_forward, refusal, take_reference
from kvproxy.engine.forward.fused_decoder import can_fuse
from kvproxy.engine.forward.interruptible import run_through
from kvproxy.engine.forward.invariance import DECODE_TILE, Numerics, agreeing_tiles
from kvproxy.engine.forward.kernel_digest import kernel_digest
from kvproxy.engine.forward.linear import PackedLinear, fuse
from kvproxy.engine.forward.module_decoder import ATTENTION, register_attention
from kvproxy.engine.forward.open_tiles import has_triton, open_tiles
from kvproxy.engine.forward.tiles import Tile
from kvproxy.engine.models.supported import check_supported
from kvproxy.errors import SetupError

FORMAT = 3
"""Raise it when the order of operations changes in a way that changes bits."""


class TileModel:
    """A loaded model: its ``tiles`` and its output head. Built by :func:`load_model`; for one thread."""

    def __init__(self, model: nn.Module, config: Any, fingerprint_base: str, threads: int) -> None:
        """Take a transformers model over, measure it, and check its forward where that is transformers' own.

        Example: ``TileModel(model, model.config, fingerprint_base, torch.get_num_threads())``
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
        loaded: Any = model  # transformers' class, whose methods nn.Module would have to be tensors
        head = loaded.get_output_embeddings()
        if not isinstance(head, nn.Linear):
            raise SetupError("this model has no plain output head; kvproxy cannot serve it")
        reference = None if can_fuse(config) else take_reference(loaded)
        # A head tied to the embedding gets a packed copy of its own; the embedding keeps the plain weight.
        self._head = fuse([head], DECODE_TILE)
        try:
            self.tiles = open_tiles(loaded.get_decoder(), self._head, config, self.page_shape, self.device)
        except (AttributeError, TypeError, AssertionError) as e:
            if reference is None:
                raise
            raise refusal(config, f"its layers are not built as tiles need them ({e})") from e
        self._head_tiles = agreeing_tiles(self._head, head.in_features, self.dtype, self.device)
        if reference is not None:
            check_forward(
                self.forward,
                self.tiles.tile,
                self.logits,
                reference=reference,
                config=config,
                shape=self.page_shape,
                numerics=self.numerics,
                device=self.device,
            )
        self.identity: Mapping[str, str] = MappingProxyType(
            {
                **_causes(fingerprint_base, self.dtype, self.device, self.numerics, threads),
                "results": kernel_digest(
                    self.tiles,
                    self.logits,
                    self.page_shape,
                    vocab=self.vocab_size,
                    context=self.max_context,
                    threads=threads,
                    device=self.device,
                ),
            }
        )
        """The parts of ``fingerprint`` by name."""
        self.fingerprint = _fingerprint(self.identity)

    @property
    def numerics(self) -> Numerics:
        """The measured tile sizes and their exactness. Fewer tiles than these serve the same answers."""
        return self.tiles.numerics

    @numerics.setter
    def numerics(self, numerics: Numerics) -> None:
        """Set the numerics of the tiles: fewer tile sizes than were measured, with the same bits."""
        self.tiles.numerics = numerics

    def forward(self, tile: Tile, kv: torch.Tensor) -> torch.Tensor:
        """Run all layers over a tile of ``tiles.tile``, writing its K and V into ``kv`` (the pool's tensor).

        Returns hidden states after the last norm, [M, hidden].
        """
        return run_through(self.tiles.steps(tile, kv))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Apply the head: [R, hidden] -> float32 [R, vocab], computed in tiles of at most DECODE_TILE rows."""
        chunks = []
        for start in range(0, hidden.shape[0], DECODE_TILE):
            rows = hidden[start : start + DECODE_TILE]
            tile = rows.new_zeros(next(t for t in self._head_tiles if t >= rows.shape[0]), rows.shape[1])
            tile[: rows.shape[0]] = rows
            chunks.append(self._head(tile)[: rows.shape[0]].float())
        return chunks[0] if len(chunks) == 1 else torch.cat(chunks)

    def linears(self) -> list[PackedLinear | nn.Linear]:
        """Return every matrix that a tile is multiplied with, layer by layer, without the output head."""
        return [m for m in self.tiles.linears() if isinstance(m, PackedLinear | nn.Linear)]


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
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
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
    return TileModel(model, model.config, base, torch.get_num_threads())


def from_module(model: nn.Module, name: str) -> TileModel:
    """Make a TileModel of a model that was made in memory (random weights; tests and benchmarks)."""
    register_attention()
    config: Any = model.config
    check_supported(config)
    config._attn_implementation = ATTENTION
    model.requires_grad_(False).eval()
    return TileModel(model, config, f"memory:{name}:{config_digest(config)}", torch.get_num_threads())


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
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise SetupError(
            f"no *.safetensors in {folder}; kvproxy loads nothing that would have to be unpickled"
        )
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as f:
            digest.update(hashlib.file_digest(f, "sha256").digest())
    return digest.hexdigest()


def _fingerprint(parts: Mapping[str, str]) -> str:
    """Return one hex digest of everything that the bits depend on."""
    return hashlib.sha256("|".join(f"{k}={v}" for k, v in parts.items()).encode()).hexdigest()


def _causes(
    base: str, dtype: torch.dtype, device: torch.device, numerics: Numerics, threads: int
) -> Mapping[str, str]:
    """Return the known causes of other bits, by name; ``kernel_digest`` covers the unknown ones."""
    return {
        "format": str(FORMAT),
        "model": base,
        "dtype": str(dtype),
        "device": device.type,
        "torch": str(torch.__version__),
        "instructions": f"{platform.machine()}:{torch.backends.cpu.get_cpu_capability()}:{_bf16_isa()}",
        "threads": str(threads),
        "page": str(PAGE_TOKENS),
        **_gpu(device),
        "tiles": f"{numerics.tiles}:{numerics.granule}:{numerics.kernel}",
    }


def _gpu(device: torch.device) -> Mapping[str, str]:
    if device.type != "cuda":
        return {}
    triton = importlib.metadata.version("triton") if has_triton() else None
    capability = torch.cuda.get_device_capability(device)
    name = torch.cuda.get_device_name(device)
    return {"gpu": f"{name}:{capability}:{torch.version.cuda}:triton={triton}"}


def _bf16_isa() -> str:
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported", "_is_avx512_vnni_supported")
    return ",".join(p.removeprefix("_is_") for p in probes if getattr(torch.cpu, p, lambda: False)())

"""A transformers model that runs on tiles: its own modules, our linear kernels and our attention."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.activations import ACT2FN
from transformers.utils import logging as hf_logging

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.decoder import ATTENTION, TileInput, make_decoder, register_attention
from kvproxy.engine.linear import PackedLinear, fuse
from kvproxy.engine.numerics import BASE_TILE, DECODE_TILE, Numerics, measure
from kvproxy.engine.pool import PageShape
from kvproxy.engine.support import check_supported
from kvproxy.errors import SetupError

FORMAT = 2
"""Raise it when the order of operations changes in a way that changes bits."""


class TileModel:
    """A loaded model. Built by :func:`load_model`; used by one thread."""

    def __init__(self, model: nn.Module, config: Any, fingerprint_base: str, threads: int) -> None:
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
        head = model.get_output_embeddings()  # type: ignore[operator]  # nn.Module types attributes as tensors
        if not isinstance(head, nn.Linear):
            raise SetupError("this model has no plain output head; kvproxy cannot serve it")
        # A head tied to the embedding gets a packed copy of its own; the embedding keeps the plain weight.
        self._head = fuse([head], DECODE_TILE)
        self._decoder = make_decoder(model.get_decoder(), config, BASE_TILE)  # type: ignore[operator]  # as above
        self.numerics = self._measure()
        self.fingerprint = _fingerprint(fingerprint_base, self.dtype, self.device, self.numerics, threads)

    def forward(self, tile: TileInput, kv: torch.Tensor) -> torch.Tensor:
        """Run all layers over a tile, writing its K and V into ``kv`` (the pool's tensor).

        Returns hidden states after the last norm, [M, hidden].
        """
        return self._decoder.forward(tile, kv, self.numerics.attention)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden: [R, hidden] -> float32 [R, vocab], always computed in tiles of DECODE_TILE rows."""
        chunks = []
        for start in range(0, hidden.shape[0], DECODE_TILE):
            rows = hidden[start : start + DECODE_TILE]
            tile = rows.new_zeros(DECODE_TILE, rows.shape[1])
            tile[: rows.shape[0]] = rows
            chunks.append(self._head(tile)[: rows.shape[0]].float())
        return chunks[0] if len(chunks) == 1 else torch.cat(chunks)

    def _measure(self) -> Numerics:
        # The head is always run in one shape, so it need not agree across tiles.
        distinct: dict[tuple[int, int, bool], nn.Module] = {}
        for module in self._decoder.linears():
            assert isinstance(module, PackedLinear | nn.Linear)
            shape = (module.in_features, module.out_features, module.bias is not None)
            distinct.setdefault(shape, module)
        layers: list[Callable[[torch.Tensor], torch.Tensor]] = list(distinct.values())
        widths = [width for width, _, _ in distinct]
        if getattr(self.config, "hidden_act", None) in ACT2FN:
            # In float32 torch's SiLU has other bits at the ends of each thread's share of the elements.
            activation = ACT2FN[self.config.hidden_act]
            layers.append(lambda x: activation(x.chunk(2, dim=-1)[0]))
            widths.append(2 * self.config.intermediate_size)
        return measure(
            layers,
            widths,
            kv_heads=self.page_shape.kv_heads,
            group=self.group,
            head_dim=self.head_dim,
            dtype=self.dtype,
            device=self.device,
        )


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
    """Load a model folder for serving. Raises SetupError when it cannot be served or read."""
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
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as e:
        raise SetupError(f"cannot load the model in {folder}: {e}") from e
    model.requires_grad_(False).eval().to(device)
    say("preparing kernels")
    base = f"{weights}:{tokenizer_digest}:{template_digest}:{config_digest(config)}"
    return TileModel(model, model.config, base, torch.get_num_threads())


def from_module(model: nn.Module, name: str) -> TileModel:
    """A TileModel around a model that was made in memory (random weights; tests and benchmarks)."""
    register_attention()
    config: Any = model.config
    check_supported(config)
    config._attn_implementation = ATTENTION
    model.requires_grad_(False).eval()
    return TileModel(model, config, f"memory:{name}:{config_digest(config)}", torch.get_num_threads())


def read_config(folder: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as e:
        raise SetupError(f"cannot read a model configuration in {folder}: {e}") from e


def pick_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as e:
        raise SetupError(f"unknown device '{name}'; use auto, cpu or cuda") from e


def config_digest(config: Any) -> str:
    """Of everything in the configuration that changes the computation; names and versions are left out."""
    fields = {
        k: v
        for k, v in config.to_dict().items()
        if k not in {"_name_or_path", "transformers_version", "dtype"}
    }
    return hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()


def weights_digest(folder: Path) -> str:
    """sha256 over the weight files, in name order; 8 GB take a few seconds, and are worth it."""
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


def _fingerprint(
    base: str, dtype: torch.dtype, device: torch.device, numerics: Numerics, threads: int
) -> str:
    """All that the bits depend on, as one hex digest."""
    parts: Sequence[str] = (
        f"format={FORMAT}",
        base,
        str(dtype),
        device.type,
        f"torch={torch.__version__}",
        f"isa={platform.machine()}:{torch.backends.cpu.get_cpu_capability()}:{_bf16_isa()}",
        f"threads={threads}",
        f"page={PAGE_TOKENS}",
        f"tiles={numerics.tiles}:{numerics.granule}:{numerics.kernel}",
    )
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def _bf16_isa() -> str:
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported", "_is_avx512_vnni_supported")
    return ",".join(p.removeprefix("_is_") for p in probes if getattr(torch.cpu, p, lambda: False)())

"""Ceilings of this machine, measured: memory bandwidth and matrix products."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear

_COPY_BYTES = 256 * 2**20
"""Larger than any cache."""
_SECONDS = 1.0
"""Seconds for which each measurement is repeated; the best counts."""


@dataclass(frozen=True, slots=True)
class Product:
    """One matrix product [rows, inner] x [inner, columns] by torch."""

    dtype: str
    rows: int
    inner: int
    columns: int
    gflops: float


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Measured ceilings: memory bandwidth, and matrix products."""

    copy_gbs: float
    """GB/s of a copy, the bytes read and those written counted."""
    read_gbs: float
    """GB/s of a sum over int64: bytes read only."""
    products: tuple[Product, ...]

    @property
    def bandwidth(self) -> float:
        """Bytes per second; the better of the two, which makes the bound the harder one to come near to."""
        return max(self.copy_gbs, self.read_gbs) * 1e9

    @property
    def compute(self) -> float:
        """FLOP per second of the best product of all."""
        return max(p.gflops for p in self.products) * 1e9


@dataclass(frozen=True, slots=True)
class CeilingWork:
    """The least work of a model, in bytes and operations, in any engine."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    layer_weights: int
    """Parameters of all layers' matrices."""
    head_weights: int
    """Parameters of the output head."""
    item_bytes: int

    def prefill_flop(self, tokens: int) -> float:
        """2 for each layer weight and token; per layer, query head and pair of positions (j <= i) 4 for each of
        head_dim: the score and the weighted sum; and the head for the last position alone."""
        pairs = tokens * (tokens + 1) / 2
        attention = 4.0 * self.layers * self.heads * self.head_dim * pairs
        return 2.0 * self.layer_weights * tokens + attention + 2.0 * self.head_weights

    def decode_bytes(self, context: int) -> float:
        """Every weight once, and K and V of every position before it."""
        kv = 2 * self.layers * self.kv_heads * self.head_dim * context
        return float(self.item_bytes * (self.layer_weights + self.head_weights + kv))


def work_of(module: nn.Module, config: Any) -> CeilingWork:
    """Return the sizes of a transformers model that bound its time per token, whatever engine runs it.

    Example: ``work_of(plain, plain.config)``
    """
    linears = layer_linears(module)
    heads = int(config.num_attention_heads)
    return CeilingWork(
        layers=int(config.num_hidden_layers),
        heads=heads,
        kv_heads=int(config.num_key_value_heads),
        head_dim=int(getattr(config, "head_dim", None) or config.hidden_size // heads),
        layer_weights=sum(x.in_features * x.out_features for x in linears),
        head_weights=int(config.hidden_size) * int(config.vocab_size),
        item_bytes=linears[0].weight.dtype.itemsize,
    )


def layer_linears(module: nn.Module) -> list[nn.Linear]:
    """Return a transformers model's linear layers but its output head."""
    return [m for name, m in module.named_modules() if isinstance(m, nn.Linear) and name != "lm_head"]


@torch.inference_mode()
def measure_ceilings(
    shapes: Iterable[tuple[int, int]], dtype: torch.dtype, seconds: float = _SECONDS
) -> Ceilings:
    """Measure with torch alone: the code under test must not set its own bound.

    ``shapes``: (inner, columns) of the model's own matrices. Call it on the kernel thread. Takes ``seconds`` for each
    of about fifteen things.

    Example: ``measure_ceilings([(576, 1536)], torch.bfloat16, seconds=0.1)``
    """
    copy, read = _bandwidth(seconds)
    wanted = [(dtype, rows, 4096, 4096) for rows in (1024, 256)]
    if dtype is not torch.float32:
        # Where a processor has no products of 16 bits, those of 32 are the faster ones.
        wanted.append((torch.float32, 256, 4096, 4096))
    wanted += [(dtype, rows, *shape) for shape in sorted(set(shapes)) for rows in (256, 64)]
    return Ceilings(copy / 1e9, read / 1e9, tuple(_product(*case, seconds) for case in wanted))


def _bandwidth(seconds: float) -> tuple[float, float]:
    """(copy, read) in bytes per second."""
    source = torch.arange(_COPY_BYTES // 8)
    target = torch.empty_like(source)
    copy = _best(lambda: target.copy_(source), seconds)
    return 2 * _COPY_BYTES / copy, _COPY_BYTES / _best(lambda: source.sum(), seconds)


def _product(dtype: torch.dtype, rows: int, inner: int, columns: int, seconds: float) -> Product:
    x = torch.randn(rows, inner).to(dtype)
    weight = torch.randn(columns, inner).to(dtype)
    took = _best(partial(linear, x, weight), seconds)
    name = str(dtype).removeprefix("torch.")
    return Product(name, rows, inner, columns, 2 * rows * inner * columns / took / 1e9)


def _best(function: Callable[[], object], seconds: float) -> float:
    """Shortest time of one call, after one that does not count."""
    function()
    until, best = time.perf_counter() + seconds, float("inf")
    while time.perf_counter() < until or best == float("inf"):
        began = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - began)
    return best

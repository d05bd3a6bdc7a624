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

from kvproxy.engine.native.kernel_library import Kernels, NoKernels, load_kernels
from kvproxy.engine.native.native_linear import NativeLinear
from kvproxy.engine.native.packed_matrix import PackedMatrix

_COPY_BYTES = 256 * 2**20
"""Larger than any cache."""
_SECONDS = 1.0
"""Seconds for which each measurement is repeated; the best counts."""


@dataclass(frozen=True, slots=True)
class Product:
    """One matrix product [rows, inner] x [inner, columns]. ``by``: torch or native, with the dtype."""

    by: str
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
    """Measure torch's products and our own kernels': the best one is the bound, so that neither a slow one of ours
    nor a slow one of torch's makes it easier to come near to.

    ``shapes``: (inner, columns) of the model's own matrices. Call it on the kernel thread. Takes ``seconds`` for each
    of about twenty things.

    Example: ``measure_ceilings([(576, 1536)], torch.bfloat16, seconds=0.1)``
    """
    copy, read = _bandwidth(seconds)
    own = sorted(set(shapes))
    cases = [(dtype, rows, 4096, 4096) for rows in (1024, 256)] + [(dtype, 256, *shape) for shape in own]
    # Where a processor has no products of 16 bits, those of 32 are the faster ones.
    wide = [] if dtype is torch.float32 else [(torch.float32, 256, 4096, 4096)]
    products = [_torch_product(*case, seconds) for case in (*cases, *wide)]
    kernels = load_kernels()
    if not isinstance(kernels, NoKernels):
        products += [_native_product(kernels, *case, seconds) for case in cases]
    return Ceilings(copy / 1e9, read / 1e9, tuple(products))


def _bandwidth(seconds: float) -> tuple[float, float]:
    """(copy, read) in bytes per second."""
    source = torch.arange(_COPY_BYTES // 8)
    target = torch.empty_like(source)
    copy = _best(lambda: target.copy_(source), seconds)
    return 2 * _COPY_BYTES / copy, _COPY_BYTES / _best(lambda: source.sum(), seconds)


def _torch_product(dtype: torch.dtype, rows: int, inner: int, columns: int, seconds: float) -> Product:
    x, weight = torch.randn(rows, inner).to(dtype), torch.randn(columns, inner).to(dtype)
    took = _best(partial(linear, x, weight), seconds)
    return _product(f"torch, {_name(dtype)}", rows, inner, columns, took)


def _native_product(
    kernels: Kernels, dtype: torch.dtype, rows: int, inner: int, columns: int, seconds: float
) -> Product:
    x = torch.randn(rows, inner).to(dtype)
    layer = nn.Linear(inner, columns, bias=False, dtype=dtype).requires_grad_(False)
    took = _best(partial(NativeLinear(kernels, PackedMatrix.of(kernels, [layer])).product, x), seconds)
    return _product(f"native, {_name(dtype)}", rows, inner, columns, took)


def _product(by: str, rows: int, inner: int, columns: int, took: float) -> Product:
    return Product(by, rows, inner, columns, 2 * rows * inner * columns / took / 1e9)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _best(function: Callable[[], object], seconds: float) -> float:
    """Shortest time of one call, after one that does not count."""
    function()
    until, best = time.perf_counter() + seconds, float("inf")
    while time.perf_counter() < until or best == float("inf"):
        began = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - began)
    return best

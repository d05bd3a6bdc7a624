"""Ceilings of this machine, measured: memory bandwidth and matrix products."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn.functional import linear

from kvproxy.engine.forward.tile_model import TileModel

_COPY_BYTES = 256 * 2**20
"""Larger than any cache."""
_SECONDS = 1.0
"""Seconds for which each measurement is repeated; the best counts."""


@dataclass(frozen=True, slots=True)
class Product:
    """One matrix product [rows, inner] x [inner, columns] in the model's dtype."""

    name: str
    rows: int
    inner: int
    columns: int
    gflops: float


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Measured ceilings: memory bandwidth, and bf16 matrix products."""

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


def work_of(model: TileModel) -> CeilingWork:
    """Return the sizes of a model that bound its time per token."""
    shape = model.page_shape
    return CeilingWork(
        layers=shape.layers,
        heads=shape.kv_heads * model.group,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        layer_weights=sum(x.in_features * x.out_features for x in model.tiles.linears()),
        head_weights=int(model.config.hidden_size) * model.vocab_size,
        item_bytes=model.dtype.itemsize,
    )


@torch.inference_mode()
def measure_ceilings(model: TileModel, seconds: float = _SECONDS) -> Ceilings:
    """Call it on the kernel thread. Takes ``seconds`` for each of about ten things."""
    copy, read = _bandwidth(seconds)
    products = []
    for rows, inner, columns in ((1024, 4096, 4096), (256, 4096, 4096)):
        x = torch.randn(rows, inner).to(model.dtype)
        weight = torch.randn(columns, inner).to(model.dtype)
        took = _best(partial(linear, x, weight), seconds)
        products.append(_product("torch", rows, inner, columns, took))
    for layer in {(x.in_features, x.out_features): x for x in model.tiles.linears()}.values():
        for rows in sorted({64, model.numerics.largest}):
            x = torch.randn(rows, layer.in_features).to(model.dtype)
            took = _best(partial(layer, x), seconds)
            products.append(_product("tile", rows, layer.in_features, layer.out_features, took))
    return Ceilings(copy / 1e9, read / 1e9, tuple(products))


def _bandwidth(seconds: float) -> tuple[float, float]:
    """(copy, read) in bytes per second."""
    source = torch.arange(_COPY_BYTES // 8)
    target = torch.empty_like(source)
    copy = _best(lambda: target.copy_(source), seconds)
    return 2 * _COPY_BYTES / copy, _COPY_BYTES / _best(lambda: source.sum(), seconds)


def _product(name: str, rows: int, inner: int, columns: int, took: float) -> Product:
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

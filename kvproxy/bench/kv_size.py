"""Sizes of KV: compressed without loss, and as int8. Pages are bytes [layers, 2, kv_heads, PAGE_TOKENS, head_dim]."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kvproxy.bench.engine.driver import KVPage
from kvproxy.core import PAGE_TOKENS

Scales = Literal["head", "channel"]
"""A scale of int8 for each head and page, or for each component of a head and page."""


@dataclass(frozen=True, slots=True)
class Layout:
    """``item_bytes`` 2: bfloat16; 4: float32."""

    layers: int
    kv_heads: int
    head_dim: int
    item_bytes: int

    def used(self, page: KVPage) -> NDArray[Any]:
        """Return the page's own positions as unsigned integers, [layers, 2, kv_heads, used, head_dim]."""
        kind = np.uint16 if self.item_bytes == 2 else np.uint32
        whole = np.frombuffer(page.payload, dtype=kind)
        shape = (self.layers, 2, self.kv_heads, PAGE_TOKENS, self.head_dim)
        return whole.reshape(shape)[..., : page.used, :]


def lossless_ratio(pages: Sequence[KVPage], layout: Layout, most_bytes: int = 64 * 2**20) -> float:
    """Compressed over plain size of the first pages, up to ``most_bytes`` of them: zlib at level 6 over byte planes,
    all first bytes of the numbers, then all second ones: exponents compress, mantissas hardly do.

    Example: ``lossless_ratio(pages, layout)``
    """
    plain = packed = 0
    for page in pages:
        numbers = np.ascontiguousarray(layout.used(page))
        planes = numbers.view(np.uint8).reshape(-1, layout.item_bytes).T
        for plane in planes:
            packed += len(zlib.compress(np.ascontiguousarray(plane).tobytes(), 6))
        plain += numbers.nbytes
        if plain >= most_bytes:
            break
    return packed / plain


def int8_bytes(pages: Sequence[KVPage], layout: Layout, scales: Scales = "head") -> int:
    """One byte a number, and a float32 for each scale of K and of V in each layer of each page.

    Example: ``int8_bytes(pages, layout, "channel")``
    """
    each = layout.layers * 2 * layout.kv_heads * 4 * (layout.head_dim if scales == "channel" else 1)
    return sum(layout.used(page).size + each for page in pages)


def int8_round_trip(page: KVPage, layout: Layout, scales: Scales = "head") -> KVPage:
    """Return the page as a reader finds it after symmetric int8: x -> round(x / s) * s, s = max |x| / 127.

    Rounded to the nearest number of the KV's dtype, ties to even.

    Example: ``int8_round_trip(page, layout, "channel")``
    """
    bits = layout.used(page)
    x = (bits.astype(np.uint32) << 16).view(np.float32) if layout.item_bytes == 2 else bits.view(np.float32)
    over = (-2, -1) if scales == "head" else (-2,)
    scale = np.abs(x).max(axis=over, keepdims=True) / np.float32(127)
    scale[scale == 0] = 1
    near = (np.rint(x / scale) * scale).astype(np.float32)
    shape = (layout.layers, 2, layout.kv_heads, PAGE_TOKENS, layout.head_dim)
    kind = np.uint16 if layout.item_bytes == 2 else np.uint32
    whole = np.frombuffer(page.payload, dtype=kind).reshape(shape).copy()
    whole[..., : page.used, :] = _bfloat16(near) if layout.item_bytes == 2 else near.view(np.uint32)
    return KVPage(page.page, page.used, whole.tobytes())


def _bfloat16(x: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return the nearest bfloat16's bits; ``x`` is finite."""
    bits = x.view(np.uint32)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return (rounded >> 16).astype(np.uint16)

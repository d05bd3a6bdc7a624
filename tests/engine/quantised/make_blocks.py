"""Quantised weights for tests: random blocks of each kind, and a plain quantiser of Q4_K, which gguf lacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kvproxy.engine.quantised.quantised_tensor import BLOCKS, BlockKind, QuantisedTensor

Floats = npt.NDArray[np.float32]
_HALVES = {BlockKind.Q4_K: (0, 2), BlockKind.Q5_K: (0, 2), BlockKind.Q6_K: (208,)}
"""The place of a block's float16 factors; the beginning in the others."""


def random_blocks(kind: BlockKind, rows: int, width: int, seed: int = 0) -> QuantisedTensor:
    """Make weights of any bits, with factors of a sensible size and of both signs."""
    generator = np.random.default_rng(seed)
    weights, size = BLOCKS[kind]
    blocks = generator.integers(0, 256, (rows, width // weights, size), dtype=np.uint8)
    for offset in _HALVES.get(kind, (0,)):
        factors = generator.uniform(-0.01, 0.01, blocks.shape[:2]).astype(np.float16)
        blocks[:, :, offset : offset + 2] = factors[..., None].view(np.uint8)
    if kind is BlockKind.Q4_Z:
        blocks[:, :, 2] &= 15
    return QuantisedTensor(kind, width, np.ascontiguousarray(blocks.reshape(rows, -1)))


def quantise_q4_k(values: Floats) -> QuantisedTensor:
    """Quantise [rows, width] to the nearest of 16 steps between the least and the largest of each 32."""
    rows, width = values.shape
    groups = values.reshape(rows, width // 256, 8, 32)
    least = -np.minimum(groups.min(-1), 0)
    scale = (groups.max(-1) + least) / 15
    d, dmin = ((x.max(-1) / 63).astype(np.float16) for x in (scale, least))
    scales, mins = (_ratio(x, factor[..., None], 63) for x, factor in ((scale, d), (least, dmin)))
    shifted = groups + (dmin.astype(np.float32)[..., None] * mins)[..., None]
    q = _ratio(shifted, (d.astype(np.float32)[..., None] * scales)[..., None], 15)
    blocks = np.zeros((rows, width // 256, 144), dtype=np.uint8)
    blocks[..., :2], blocks[..., 2:4] = d[..., None].view(np.uint8), dmin[..., None].view(np.uint8)
    blocks[..., 4:8] = scales[..., :4] | scales[..., 4:] >> 4 << 6
    blocks[..., 8:12] = mins[..., :4] | mins[..., 4:] >> 4 << 6
    blocks[..., 12:16] = (scales[..., 4:] & 15) | (mins[..., 4:] & 15) << 4
    pairs = q.reshape(rows, width // 256, 4, 2, 32)
    blocks[..., 16:] = (pairs[..., 0, :] | pairs[..., 1, :] << 4).reshape(rows, width // 256, 128)
    return QuantisedTensor(BlockKind.Q4_K, width, blocks.reshape(rows, -1))


def _ratio(x: Floats, unit: npt.NDArray[Any], most: int) -> npt.NDArray[np.uint8]:
    unit = np.broadcast_to(unit.astype(np.float32), x.shape)
    ratio = np.divide(x, unit, out=np.zeros_like(x), where=unit > 0)
    return np.asarray(np.clip(np.round(ratio), 0, most), dtype=np.uint8)

"""Which shapes give which bits: measured on this machine when the model is loaded.

A matrix product's or an attention row's bits may depend on how many rows are computed with it. The engine
uses only shapes that were seen to agree. On a CPU with AVX512_BF16 (Zen 5) all tiles from 2 rows up agree; with
AMX they fall into classes, and then prompts use one tile and decode another whose KV is not shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.kernels import KERNELS, Kernel, pick_kernel

BASE_TILE = 64
TILES = (16, 32, 64, 128, 256)
DECODE_TILE = 16
GRANULES = (4, 16, 64)


@dataclass(frozen=True, slots=True)
class Numerics:
    """What the kernels were seen to keep."""

    tiles: tuple[int, ...]
    """Row counts whose results agree to the bit with BASE_TILE's, ascending: any may compute shared KV."""
    unified: bool
    """True when DECODE_TILE is one of ``tiles``: decode rows ride in prompt tiles and their KV is shared."""
    granule: int
    """Query rows of an attention call are padded to a multiple of this."""
    exact: bool
    """False when even one fixed shape gave a row other bits in another place: no hit is claimed exact then."""
    kernel: str

    @property
    def attention(self) -> Kernel:
        return KERNELS[self.kernel]

    def tile_for(self, rows: int) -> int:
        """The smallest tile for ``rows`` rows; ``rows`` is at most ``tiles[-1]``."""
        return next(t for t in self.tiles if t >= rows)

    def describe(self) -> str:
        tiles = "/".join(str(t) for t in self.tiles)
        decode = "decode shares them" if self.unified else f"decode in its own {DECODE_TILE}-row tile"
        verdict = "exact" if self.exact else "NOT shown exact"
        return (
            f"{verdict}: {self.kernel}, tiles of {tiles} rows, {decode}, attention in steps of {self.granule}"
        )


def measure(
    linears: Iterable[Callable[[torch.Tensor], torch.Tensor]],
    widths: Iterable[int],
    *,
    kv_heads: int,
    group: int,
    head_dim: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Numerics:
    """Compare tiles on one layer of every distinct shape, and attention calls of many sizes.

    linears: callables [M, width] -> [M, out]; widths: their input widths, in the same order.
    """
    generator = torch.Generator().manual_seed(20260613)
    agreeing, fixed = set(TILES), True
    for linear, width in zip(linears, widths, strict=True):
        x = torch.randn(TILES[-1], width, generator=generator).to(device=device, dtype=dtype)
        fixed &= _rows_keep(linear, x[:BASE_TILE], generator)
        base = linear(x[:BASE_TILE])
        for tile in list(agreeing):
            rows = min(tile, BASE_TILE)
            y = linear(x[:tile].contiguous())
            if not torch.equal(y[:rows], base[:rows]) or not _rows_keep(linear, x[:tile], generator):
                agreeing.discard(tile)
    kernel = pick_kernel(device)
    attention = KERNELS[kernel]
    granule = next(
        (
            g
            for g in GRANULES
            if _attention_keeps(attention, g, kv_heads, group, head_dim, dtype, device, generator)
        ),
        None,
    )
    return Numerics(
        tiles=tuple(sorted(agreeing | {BASE_TILE})),
        unified=DECODE_TILE in agreeing,
        granule=granule or GRANULES[-1],
        exact=fixed and granule is not None,
        kernel=kernel,
    )


def _rows_keep(
    linear: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, generator: torch.Generator
) -> bool:
    """Whether a row's result is the same in any place of the tile, among any other rows."""
    order = torch.randperm(x.shape[0], generator=generator)
    return torch.equal(linear(x.contiguous())[order], linear(x[order].contiguous()))


def _attention_keeps(
    kernel: Kernel,
    granule: int,
    kv_heads: int,
    group: int,
    head_dim: int,
    dtype: torch.dtype,
    device: torch.device,
    generator: torch.Generator,
) -> bool:
    """Whether calls of 1 to TILES[-1] rows in steps of ``granule``, over 1 to 8 pages, agree row by row."""
    most = -(-TILES[-1] * group // granule) * granule

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator).to(device=device, dtype=dtype)

    q = normal(1, kv_heads, most, head_dim)
    k, v = normal(8, kv_heads, PAGE_TOKENS, head_dim), normal(8, kv_heads, PAGE_TOKENS, head_dim)
    scale = head_dim**-0.5
    mask = torch.zeros(1, 1, most, PAGE_TOKENS, dtype=dtype, device=device)
    mask[..., PAGE_TOKENS // 2 :] = float("-inf")
    for masked in (None, mask):
        whole, whole_lse = kernel(q.expand(8, -1, -1, -1), k, v, masked, scale)
        sizes = {granule * n for n in (1, 2, 3, 5, 8, 12)} | {(most // 2) // granule * granule}
        for rows in sorted(r for r in sizes if 0 < r <= most):
            start = (most - rows) // 2
            part = None if masked is None else masked[:, :, start : start + rows]
            for pages in (1, 2, 3, 8):
                part_q = q[:, :, start : start + rows].expand(pages, -1, -1, -1)
                out, lse = kernel(part_q, k[:pages], v[:pages], part, scale)
                if not torch.equal(out, whole[:pages, :, start : start + rows]):
                    return False
                if not torch.equal(lse, whole_lse[:pages, :, start : start + rows]):
                    return False
    return True

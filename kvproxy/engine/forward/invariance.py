"""Measurement of bitwise invariance: the shapes that agree to the bit on this machine, found when the model is loaded.

A matrix product's or an attention row's bits may depend on how many rows are computed with it. The engine uses only
shapes that were seen to agree. On a CPU with AVX512_BF16 (Zen 5) all tiles from 2 rows up agree; with AMX they fall
into classes, and then prompts use one tile and decode another with KV that is not shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.attention.call_plan import (
    BLOCK_TOKENS,
    FEW_COLUMNS,
    SPAN_PAGES,
    SPAN_TOKENS,
    SPANS,
)
from kvproxy.engine.forward.attention.call_shapes import widths as call_widths
from kvproxy.engine.forward.attention.kernels import Kernel, open_kernel, pick_kernel
from kvproxy.engine.forward.attention.scores_cpu import STRETCHES

BASE_TILE = 64
TILES = (2, 4, 8, 16, 32, 64, 128, 256)
"""Row counts of a tile. A decode row reads every weight, in any tile: the cost of the tile's other rows beside that is
half the time of a step in a 16-row tile (Qwen3-4B's matrices on Zen 5: 2 rows 6.2 ms, 4 7.1, 8 8.6, 16 11.8)."""
DECODE_TILE = 16
GRANULES = (4, 16, 64)
_VALUES = 64

RowFunction = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Numerics:
    """The invariances that this machine's kernels were seen to keep."""

    tiles: tuple[int, ...]
    """Row counts with results that agree to the bit with BASE_TILE's, ascending: any may compute shared KV."""
    unified: bool
    """True when DECODE_TILE is one of ``tiles``: decode rows ride in prompt tiles and their KV is shared."""
    granule: int
    """Query columns of an attention call are padded to a multiple of this."""
    exact: bool
    """False when even one fixed shape gave a row other bits in another place: no hit is claimed exact then."""
    kernel: str
    """The attention kernel's name, see ``kernels``."""

    def tile_for(self, rows: int) -> int:
        """Return the smallest tile for ``rows`` rows; ``rows`` is at most ``tiles[-1]``."""
        return next(t for t in self.tiles if t >= rows)

    def describe(self) -> str:
        """Return the result in one line, for the log."""
        tiles = "/".join(str(t) for t in self.tiles)
        decode = "decode shares them" if self.unified else f"decode in its own {DECODE_TILE}-row tile"
        verdict = "exact" if self.exact else "NOT shown exact"
        return (
            f"{verdict}: {self.kernel}, tiles of {tiles} rows, {decode}, attention in steps of {self.granule}"
        )


def measure(
    linears: Iterable[RowFunction],
    widths: Iterable[int],
    *,
    rowwise: Iterable[tuple[RowFunction, int]] = (),
    kv_heads: int,
    group: int,
    head_dim: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Numerics:
    """Compare tiles on one layer of every distinct shape, and attention calls of many sizes.

    linears: callables [M, width] -> [M, out]; widths: their input widths, in the same order. rowwise: elementwise
    functions and norms, cheap ones, with their widths.

    Example: ``measure([layer], [1024], kv_heads=8, group=2, head_dim=128, dtype=dtype, device=device)``
    """
    generator = torch.Generator().manual_seed(20260613)
    agreeing, fixed = set(TILES), True
    for linear, width in zip(linears, widths, strict=True):
        x = torch.randn(TILES[-1], width, generator=generator).to(device=device, dtype=dtype)
        fixed &= _rows_keep(linear, x[:BASE_TILE], generator)
        base = linear(x[:BASE_TILE])
        for tile in TILES:
            rows = min(tile, BASE_TILE)
            y = linear(x[:tile].contiguous())
            keeps = _rows_keep(linear, x[:tile], generator)
            if not torch.equal(y[:rows], base[:rows]) or not keeps:
                agreeing.discard(tile)
            fixed &= keeps or tile != DECODE_TILE  # Decode rows share a tile whatever its class.
    for function, width in rowwise:
        for tile in sorted(TILES):
            x = torch.randn(tile, width, generator=generator).to(device=device, dtype=dtype)
            if not (_rows_keep(function, x, generator) and _uniform_rows_agree(function, x)):
                agreeing.discard(tile)
                fixed &= tile not in (BASE_TILE, DECODE_TILE)
    kernel = pick_kernel(device)
    attention = open_kernel(kernel, kv_heads=kv_heads, head_dim=head_dim, dtype=dtype)
    calls = _Calls(attention, kv_heads, group, head_dim, dtype, device, generator)
    granule = next((g for g in GRANULES if calls.keep(g)), None)
    return Numerics(
        tiles=tuple(sorted(agreeing | {BASE_TILE})),
        unified=DECODE_TILE in agreeing,
        granule=granule or GRANULES[-1],
        exact=fixed and granule is not None,
        kernel=kernel,
    )


def agreeing_tiles(
    linear: RowFunction, width: int, dtype: torch.dtype, device: torch.device
) -> tuple[int, ...]:
    """Return the row counts up to DECODE_TILE that give every row DECODE_TILE's bits; the last is DECODE_TILE itself.

    On a GPU the smaller ones save nothing. linear: [M, width] -> [M, out].

    Example: ``agreeing_tiles(head, 1024, torch.bfloat16, torch.device("cpu"))``
    """
    if device.type != "cpu":
        return (DECODE_TILE,)
    x = torch.randn(DECODE_TILE, width, generator=torch.Generator().manual_seed(5)).to(
        device=device, dtype=dtype
    )
    whole = linear(x)
    smaller = [t for t in TILES if t < DECODE_TILE]
    return (*(t for t in smaller if torch.equal(linear(x[-t:].contiguous()), whole[-t:])), DECODE_TILE)


def _uniform_rows_agree(function: RowFunction, x: torch.Tensor) -> bool:
    """Return whether equal rows give equal results. ``x`` is overwritten.

    torch computes the few elements at the ends of each thread's share in another way, which shows in few of their
    values: random rows may well miss it.
    """
    for value in torch.linspace(-4.0, 4.0, _VALUES).tolist():
        y = function(x.fill_(value))
        if not torch.equal(y, y[:1].expand_as(y)):
            return False
    return True


def _rows_keep(linear: RowFunction, x: torch.Tensor, generator: torch.Generator) -> bool:
    """Return whether a row's result is the same in any place of the tile, among any other rows."""
    y = linear(x.contiguous())
    # A random order of few rows may leave most of them where they were: so each is moved by one place too.
    orders = torch.randperm(x.shape[0], generator=generator), torch.arange(x.shape[0]).roll(1)
    return all(torch.equal(y[order], linear(x[order].contiguous())) for order in orders)


class _Calls:
    """Attention calls on random queries, keys and values; every length that a plan asks for."""

    def __init__(
        self,
        kernel: Kernel,
        kv_heads: int,
        group: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        def normal(*size: int) -> torch.Tensor:
            return torch.randn(*size, generator=generator).to(device=device)

        self._kernel, self._most = kernel, TILES[-1] * group
        # As in the engine, K and V are parts of something larger, and queries are followed by others.
        self._q = normal(kv_heads, self._most + GRANULES[-1], head_dim) / head_dim**0.5
        self._kv = normal(2, kv_heads, SPAN_TOKENS + BLOCK_TOKENS, head_dim).to(dtype)
        self._mask = torch.zeros(self._q.shape[1], BLOCK_TOKENS, device=device)
        self._mask[:, BLOCK_TOKENS // 2 :] = float("-inf")

    def keep(self, granule: int) -> bool:
        """Return whether calls of every width in steps of ``granule`` agree row by row with one of all rows."""
        whole = -(-self._most // granule) * granule
        for length, masked, most in _LENGTHS:
            base = self._run(0, whole, length, masked)
            for width in call_widths(granule, whole):
                first = (whole - width) // 2
                several = range(1, most + 1) if width == granule else (1, min(3, most), most)
                for spans in several if width <= FEW_COLUMNS else (1,):
                    parts = zip(self._run(first, width, length, masked, spans), base, strict=True)
                    if not all(torch.equal(x, b[0, :, first : first + width]) for p, b in parts for x in p):
                        return False
        return True

    def _run(
        self, first: int, width: int, length: int, masked: bool, spans: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Attend to the same positions ``spans`` times, each with results of its own."""
        q = self._q[None, :, first : first + width]
        k, v = self._kv[:, :, BLOCK_TOKENS // 2 : BLOCK_TOKENS // 2 + length].repeat(1, 1, spans, 1)
        weighted_sum = torch.empty(spans, *q.shape[1:], dtype=k.dtype, device=q.device)
        row_max, exp_sum = (torch.empty(weighted_sum.shape[:3], device=q.device) for _ in range(2))
        mask = self._mask[None, None, first : first + width] if masked else None
        self._kernel(q, k, v, mask, weighted_sum, row_max, exp_sum)
        return weighted_sum, row_max, exp_sum


_LENGTHS = (
    *((length, True, STRETCHES) for length in range(BLOCK_TOKENS, PAGE_TOKENS + 1, BLOCK_TOKENS)),
    *((pages * PAGE_TOKENS, False, 1) for pages in range(1, SPAN_PAGES)),
    (SPAN_TOKENS, False, SPANS),
)
"""(positions, whether there is a mask, the most stretches computed at a time) of every kind of call in a plan."""

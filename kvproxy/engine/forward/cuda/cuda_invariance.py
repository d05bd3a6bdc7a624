"""Measurement of bitwise invariance on a CUDA device: the tiles that agree.

Checked on every distinct product of the model, on attention, and on the whole decoder, all norms and activations
included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import nn

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.forward.cuda.paged_attention import attend
from kvproxy.engine.forward.cuda.tile_layout import (
    BASE_TILE,
    HEAD_ROWS,
    SPAN,
    TILES,
    PagedTile,
    TileShape,
    pack,
)
from kvproxy.engine.forward.cuda.tile_linear import TileLinear
from kvproxy.engine.forward.cuda.upload import Staging
from kvproxy.engine.tiling.numerics import Numerics
from kvproxy.engine.tiling.segment import Segment

KERNEL = "triton"
Linear = Callable[[torch.Tensor], torch.Tensor]


class MeasuredDecoder(Protocol):
    """Protocol of a decoder on a CUDA device, as the measurement uses it."""

    def pack(
        self, token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]
    ) -> PagedTile:
        """See ``PagedDecoder.pack``.

        Example: ``decoder.pack(ids, positions, segments)``
        """

    def forward(self, tile: PagedTile, kv: torch.Tensor) -> torch.Tensor:
        """See ``PagedDecoder.forward``."""

    def linears(self) -> Iterator[nn.Module]:
        """See ``PagedDecoder.linears``."""


@torch.inference_mode()
def measure(
    decoder: MeasuredDecoder,
    head: nn.Module,
    shape: PageShape,
    *,
    group: int,
    vocab: int,
    context: int,
    device: torch.device,
) -> Numerics:
    """Find the tiles that agree, and set ``library_rows`` of the decoder's products.

    ``head`` is only ever run in tiles of HEAD_ROWS rows; ``group``: query heads of a KV head; ``context``: positions
    that the model has.

    Example: ``measure(decoder, head, shape, group=2, vocab=151_936, context=40_960, device=device)``
    """
    generator = torch.Generator(device).manual_seed(20260613)
    agreeing, exact = _products(decoder, shape.dtype, generator)
    assert isinstance(head, nn.Linear)
    exact &= _rows_keep(head, _normal(generator, shape.dtype, HEAD_ROWS, head.in_features), generator)
    exact &= _attention_keeps(shape, group, generator)
    agreeing &= _decoder_keeps(decoder, shape, vocab, context, device)
    exact &= BASE_TILE in agreeing
    sizes = tuple(sorted(agreeing | {BASE_TILE}))
    return Numerics(largest=sizes[-1], exact=exact, kernel=KERNEL, sizes=sizes)


def _products(
    decoder: MeasuredDecoder, dtype: torch.dtype, generator: torch.Generator
) -> tuple[set[int], bool]:
    """Return the tiles with products that agree with BASE_TILE's, and whether BASE_TILE's own keep their rows' bits."""
    alike: dict[tuple[int, int, bool], list[nn.Linear]] = {}
    for module in decoder.linears():
        assert isinstance(module, nn.Linear)
        key = (module.in_features, module.out_features, module.bias is not None)
        alike.setdefault(key, []).append(module)
    agreeing, fixed = set(TILES), True
    for (width, _, _), modules in alike.items():
        x, linear = _normal(generator, dtype, TILES[-1], width), modules[0]
        if isinstance(linear, TileLinear):
            rows = frozenset(t for t in TILES if all(map(linear.agrees, _chunks(x, t))))
            for module in modules:
                assert isinstance(module, TileLinear)
                module.library_rows = rows
        base = torch.cat([linear(chunk) for chunk in _chunks(x, BASE_TILE)])
        for tile in TILES:
            keeps = _rows_keep(linear, x[:tile], generator)
            if tile == BASE_TILE:
                fixed &= keeps
            y = torch.cat([linear(chunk) for chunk in _chunks(x, tile)])
            if not keeps or not torch.equal(y, base[: len(y)]):
                agreeing.discard(tile)
    return agreeing, fixed


def _chunks(x: torch.Tensor, rows: int) -> list[torch.Tensor]:
    """Return the whole chunks of ``rows`` rows.

    As many as there are: in bf16 one product in a thousand shows another order of additions.
    """
    return [chunk for chunk in x.split(rows) if len(chunk) == rows]


def _normal(generator: torch.Generator, dtype: torch.dtype, *size: int) -> torch.Tensor:
    return torch.randn(*size, generator=generator, device=generator.device).to(dtype)


def _rows_keep(linear: Linear, x: torch.Tensor, generator: torch.Generator) -> bool:
    """Return whether a row's result is the same in any place of the tile, among any other rows."""
    order = torch.randperm(x.shape[0], generator=generator, device=x.device)
    return torch.equal(linear(x)[order], linear(x[order]))


def _attention_keeps(shape: PageShape, group: int, generator: torch.Generator) -> bool:
    """Return whether a sequence's rows have the same bits in one walk and in any chunks, alone and beside others."""
    length, dim = 3 * SPAN + 77, shape.head_dim
    count = -(-length // PAGE_TOKENS)
    order = torch.randperm(2 * count, generator=torch.Generator().manual_seed(1)).tolist()
    mine, other = ([page + 1 for page in order[part::2]] for part in range(2))
    kv = _normal(generator, shape.dtype, 2, shape.kv_heads, 2 * count + 1, PAGE_TOKENS, dim)
    q = _normal(generator, shape.dtype, length, shape.kv_heads * group, dim)
    staging = Staging(q.device)

    def run(parts: list[tuple[int, int, list[int]]], *, split: bool) -> torch.Tensor:
        """Attend with consecutive rows, one part behind the other. parts: (start, count, pages)."""
        segments: list[Segment] = []
        positions: list[int] = []
        for start, rows, pages in parts:
            segments.append(Segment(len(positions), start, rows, pages))
            positions += range(start, start + rows)
        tile = pack(positions, positions, segments, group=group)
        staging.put(tile.ints)
        views = staging.views(TileShape(tile.shape.rows, tile.shape.blocks, None))
        rows_of_q = q[torch.tensor(positions, device=q.device)]
        # In float32: bf16 would hide most differences.
        return attend(rows_of_q, kv, views, scale=dim**-0.5, spans=4 if split else None, dtype=torch.float32)

    whole = run([(0, length, mine)], split=False)
    edges = (0, 1, 62, 63, 64, 255, 256, SPAN - 1, SPAN, SPAN + 1, 2 * SPAN, 2 * SPAN + 63, length - 1)
    chunks = ((0, 7), (250, 70), (SPAN - 5, 37), (2 * SPAN - 1, 130), (length - 16, 16))
    if not torch.equal(run([(0, length, mine)], split=True), whole):
        return False
    for split in (False, True):
        alone = run([(p, 1, mine) for p in edges], split=split)
        if not torch.equal(alone, whole[list(edges)]):
            return False
        for start, rows in chunks:
            mixed = run([(5, 3, other), (start, rows, mine), (length - 9, 1, other)], split=split)
            if not torch.equal(mixed[3 : 3 + rows], whole[start : start + rows]):
                return False
    return True


def _decoder_keeps(
    decoder: MeasuredDecoder, shape: PageShape, vocab: int, context: int, device: torch.device
) -> set[int]:
    """Return the tiles in which the whole decoder gives the start of a prompt BASE_TILE's bits.

    There, and in the second place of a tile that begins with another sequence's rows.
    """
    count = -(-TILES[-1] // PAGE_TOKENS)
    kv = PagePool(shape, 2 * count + 1, device).kv
    mine, other = list(range(1, count + 1)), list(range(count + 1, 2 * count + 1))
    ids = torch.randint(vocab, (TILES[-1],), generator=torch.Generator().manual_seed(2)).tolist()

    def run(rows: int, other_rows: int) -> torch.Tensor:
        own = rows - other_rows
        tokens, positions = [*ids[len(ids) - other_rows :], *ids[:own]], [*range(other_rows), *range(own)]
        parts = [Segment(0, 0, other_rows, other)] if other_rows else []
        tile = decoder.pack(tokens, positions, [*parts, Segment(other_rows, 0, own, mine)])
        return decoder.forward(tile, kv)[other_rows:]

    base = run(BASE_TILE, 0)

    def same(rows: int) -> bool:
        for other_rows in (0, 5):
            hidden = run(rows, other_rows)
            common = min(len(hidden), BASE_TILE)
            if not torch.equal(hidden[:common], base[:common]):
                return False
        return True

    return {tile for tile in TILES if tile <= context and same(tile)}

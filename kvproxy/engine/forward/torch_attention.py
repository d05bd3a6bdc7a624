"""Attention by torch's own operations: the reference, and the fallback where no kernels of our own are to be had.

The shapes of every operation on a row, and its place in them, follow from its position alone: rows are taken in blocks
of BLOCK positions from a multiple of BLOCK on, each at its own place, and attend to whole pages under a mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.tiling.segment import Segment

BLOCK = 16
"""Positions that are computed together: with more, a decode row would cost more, and a prompt's less."""


def blocks_of(segments: Sequence[Segment]) -> Iterator[Segment]:
    """Cut segments at multiples of BLOCK positions."""
    for seg in segments:
        at, end = seg.start, seg.start + seg.count
        while at < end:
            count = min(end - at, BLOCK - at % BLOCK)
            yield Segment(seg.row + at - seg.start, at, count, seg.pages)
            at += count


def write_kv(kv: torch.Tensor, segments: Sequence[Segment], k: torch.Tensor, v: torch.Tensor) -> None:
    """Write a tile's K and V, [M, kv_heads, D], into their pages; ``kv``: one layer's part of the pool's tensor.

    Example: ``write_kv(pool.kv[0], [Segment(0, 0, 64, [page])], k, v)``
    """
    for seg in segments:
        page, offset = seg.pages[seg.start // PAGE_TOKENS], seg.start % PAGE_TOKENS
        for target, x in zip(kv, (k, v), strict=True):
            rows = x[seg.row : seg.row + seg.count].transpose(0, 1)
            target[:, page, offset : offset + seg.count].copy_(rows)


def attend(kv: torch.Tensor, segments: Sequence[Segment], q: torch.Tensor, scale: float) -> torch.Tensor:
    """Attend with the rows of a tile to the positions up to their own. q: [M, heads, D]; ``scale``: of the scores.

    ``kv`` as in :func:`write_kv`. Returns [M, heads, D] in the dtype of q; rows of no segment are zeros.

    Example: ``attend(pool.kv[0], [Segment(0, 0, 64, [page])], q, scale=head_dim**-0.5)``
    """
    heads, dim = q.shape[1:]
    kv_heads, group = kv.shape[1], heads // kv.shape[1]
    out = torch.zeros_like(q)
    for seg in blocks_of(segments):
        first = seg.start % BLOCK
        place = slice(first, first + seg.count)
        rows = slice(seg.row, seg.row + seg.count)
        pages = list(seg.pages[: seg.start // PAGE_TOKENS + 1])
        keys, values = (x[:, pages].flatten(1, 2).float() for x in kv)
        queries = torch.zeros(kv_heads, BLOCK, group, dim, device=q.device)
        queries[:, place] = q[rows].unflatten(1, (kv_heads, group)).transpose(0, 1).float() * scale
        scores = torch.bmm(queries.flatten(1, 2), keys.transpose(1, 2)).unflatten(1, (BLOCK, group))
        last = torch.arange(seg.start - first, seg.start - first + BLOCK, device=q.device)
        hidden = torch.arange(keys.shape[1], device=q.device) > last.unsqueeze(1)
        weights = scores.masked_fill_(hidden.unsqueeze(1), float("-inf")).softmax(-1)
        result = torch.bmm(weights.flatten(1, 2), values).view(kv_heads, BLOCK, group, dim)
        out[rows] = result[:, place].transpose(0, 1).flatten(1, 2).to(q.dtype)
    return out

"""Attention over pages, so that a row's result depends on its prefix and nothing else.

The rules that make a hit equal a miss to the bit:

1. A row attends to each page before its own in an unmasked call over exactly PAGE_TOKENS positions, and to its
   own page in a masked one. Which calls there are for a row follows from its position alone.
2. Every call has a number of query rows that is a multiple of ``granule``, in which the kernel's rows do not
   depend on each other (``numerics`` measures it).
3. Partial results are merged in float32 by elementwise operations and a binary tree over the absolute page
   index; absent pages add an exact zero. No reduction's order can depend on what else is in the tile.

Grouped-query attention folds the query heads of a KV head into rows: nothing is repeated.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.kernels import Kernel
from kvproxy.engine.pool import SCRATCH

MERGE_COLUMNS = 192
"""Columns merged at a time: their weighted partial results stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive rows of one sequence inside one page: rows ``row .. row+count`` of the tile are its
    positions ``start .. start+count``. ``pages`` are the sequence's pages up to the one that holds them."""

    row: int
    start: int
    count: int
    pages: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Past:
    """One unmasked call: consecutive pages, and the folded query columns that attend to them."""

    index: int
    page: int
    count: int
    columns: torch.Tensor | slice
    width: int


@dataclass(frozen=True, slots=True)
class _Own:
    """One masked call over the own pages of ``len(pages)`` segments with equally many padded rows."""

    pages: torch.Tensor | int
    column: int
    width: int
    batch: int
    mask: torch.Tensor


@dataclass(slots=True)
class Plan:
    """What one tile attends to; built once per step and used by every layer."""

    write_pages: torch.Tensor
    """[M] int64: the page each row's K and V go to."""
    write_offsets: torch.Tensor
    """[M] int64: the position inside that page."""
    gather: torch.Tensor | None
    """[T] int64: folded query columns, padding included, as indices into [M * group]. None: just as they are."""
    scatter: torch.Tensor | None
    """[M * group] int64: where each folded row's result stands among the T columns. None: just there."""
    past: list[_Past]
    own: list[_Own]
    slots: int
    """Page slots of the merge: the most pages that any row has before its own."""
    gaps: list[slice]
    """Slots that not every column fills, to be zeroed before the merge."""


def build_plan(
    segments: Sequence[Segment], tile: int, group: int, granule: int, dtype: torch.dtype, device: torch.device
) -> Plan:
    """Decide the calls for one tile. Pure; costs microseconds per page and segment."""
    write_pages = [SCRATCH] * tile
    write_offsets = [row % PAGE_TOKENS for row in range(tile)]
    gather: list[int] = []
    scatter = [0] * (tile * group)
    columns: list[tuple[int, int]] = []
    for seg in segments:
        page, first = seg.pages[seg.start // PAGE_TOKENS], seg.start % PAGE_TOKENS
        assert first + seg.count <= PAGE_TOKENS, "a segment stays inside one page"
        write_pages[seg.row : seg.row + seg.count] = [page] * seg.count
        write_offsets[seg.row : seg.row + seg.count] = range(first, first + seg.count)
        folded = range(seg.row * group, (seg.row + seg.count) * group)
        column, width = len(gather), -(-len(folded) // granule) * granule
        scatter[folded.start : folded.stop] = range(column, column + len(folded))
        gather.extend(folded)
        gather.extend([folded.start] * (width - len(folded)))
        columns.append((column, width))
    depths = [seg.start // PAGE_TOKENS for seg in segments]
    longest, shortest = max(depths, default=0), min(depths, default=0)
    whole = gather == list(range(tile * group))
    return Plan(
        write_pages=torch.tensor(write_pages, device=device),
        write_offsets=torch.tensor(write_offsets, device=device),
        gather=None if whole else torch.tensor(gather, device=device),
        scatter=None if whole else torch.tensor(scatter, device=device),
        past=_past_calls(segments, columns, device),
        own=_own_calls(segments, columns, group, dtype, device),
        slots=longest,
        gaps=[slice(shortest, longest)] if shortest < longest else [],
    )


def _past_calls(
    segments: Sequence[Segment], columns: Sequence[tuple[int, int]], device: torch.device
) -> list[_Past]:
    """Group by page: readers of one page share a call, consecutive pages of the same readers one batch."""
    readers: dict[tuple[int, int], list[int]] = {}
    for i, seg in enumerate(segments):
        for index in range(seg.start // PAGE_TOKENS):
            readers.setdefault((index, seg.pages[index]), []).append(i)
    calls: list[tuple[int, int, int, list[int]]] = []
    open_calls: dict[tuple[int, int], int] = {}
    for (index, page), who in sorted(readers.items()):
        at = open_calls.get((index - 1, page - 1))
        if at is not None and calls[at][3] == who:
            start_index, start_page, count, _ = calls[at]
            calls[at] = (start_index, start_page, count + 1, who)
        else:
            at = len(calls)
            calls.append((index, page, 1, who))
        open_calls[index, page] = at
    past = []
    for index, page, count, who in calls:
        spans = [columns[i] for i in who]
        width = sum(w for _, w in spans)
        where: torch.Tensor | slice
        if all(a[0] + a[1] == b[0] for a, b in itertools.pairwise(spans)):
            where = slice(spans[0][0], spans[0][0] + width)
        else:
            where = torch.tensor([c for start, w in spans for c in range(start, start + w)], device=device)
        past.append(_Past(index, page, count, where, width))
    return past


def _own_calls(
    segments: Sequence[Segment],
    columns: Sequence[tuple[int, int]],
    group: int,
    dtype: torch.dtype,
    device: torch.device,
) -> list[_Own]:
    """Single-row segments (decode) that stand side by side share one batched call; others get one each."""
    calls: list[_Own] = []
    positions = torch.arange(PAGE_TOKENS, device=device)
    i = 0
    while i < len(segments):
        j = i + 1
        if segments[i].count == 1:
            while j < len(segments) and segments[j].count == 1:
                j += 1
        run, width = segments[i:j], columns[i][1]
        # Padding columns may see anything; they get the last row's view so that no row is fully masked.
        rows = (torch.arange(width, device=device) // group).clamp_(max=run[0].count - 1)
        first = torch.tensor([seg.start % PAGE_TOKENS for seg in run], device=device)
        last = first[:, None] + rows
        mask = torch.zeros(len(run), 1, width, PAGE_TOKENS, dtype=dtype, device=device)
        mask.masked_fill_(positions > last[:, None, :, None], float("-inf"))
        pages = [seg.pages[seg.start // PAGE_TOKENS] for seg in run]
        calls.append(
            _Own(
                pages=pages[0] if len(run) == 1 else torch.tensor(pages, device=device),
                column=columns[i][0],
                width=width,
                batch=len(run),
                mask=mask,
            )
        )
        i = j
    return calls


def attend(
    plan: Plan,
    kv: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float,
    kernel: Kernel,
) -> torch.Tensor:
    """Write this tile's K and V into their pages, then attend.

    kv: [2, pages, kv_heads, PAGE_TOKENS, D], one layer of the pool, modified in place.
    q: [M, heads, D]; k, v: [M, kv_heads, D]. Returns [M, heads, D] in q's dtype.
    """
    tile, heads, dim = q.shape
    kv_heads = k.shape[1]
    group = heads // kv_heads
    keys, values = kv[0], kv[1]
    keys[plan.write_pages, :, plan.write_offsets] = k
    values[plan.write_pages, :, plan.write_offsets] = v
    folded = q.view(tile, kv_heads, group, dim).transpose(0, 1).reshape(kv_heads, tile * group, dim)
    queries = folded if plan.gather is None else folded.index_select(1, plan.gather)
    own_out, own_lse = _own_page(plan, keys, values, queries, scale, kernel)
    merged = own_out
    if plan.slots:
        merged = _merge_past(plan, keys, values, queries, own_out, own_lse, scale, kernel)
    result = merged if plan.scatter is None else merged.index_select(1, plan.scatter)
    return result.view(kv_heads, tile, group, dim).transpose(0, 1).reshape(tile, heads, dim)


def _own_page(
    plan: Plan, keys: torch.Tensor, values: torch.Tensor, queries: torch.Tensor, scale: float, kernel: Kernel
) -> tuple[torch.Tensor, torch.Tensor]:
    """The masked calls: ([kv_heads, T, D] in q's dtype, float32 [kv_heads, T])."""
    kv_heads, _, dim = queries.shape
    outs, lses = [], []
    for call in plan.own:
        part = queries[:, call.column : call.column + call.batch * call.width]
        q = part.view(kv_heads, call.batch, call.width, dim).transpose(0, 1)
        if isinstance(call.pages, int):
            k, v = keys[call.pages : call.pages + 1], values[call.pages : call.pages + 1]
        else:
            k, v = keys.index_select(0, call.pages), values.index_select(0, call.pages)
        out, lse = kernel(q, k, v, call.mask, scale)
        outs.append(out.transpose(0, 1).reshape(kv_heads, call.batch * call.width, dim))
        lses.append(lse.transpose(0, 1).reshape(kv_heads, call.batch * call.width))
    if len(outs) == 1:
        return outs[0], lses[0]
    return torch.cat(outs, dim=1), torch.cat(lses, dim=1)


def _merge_past(
    plan: Plan,
    keys: torch.Tensor,
    values: torch.Tensor,
    queries: torch.Tensor,
    own_out: torch.Tensor,
    own_lse: torch.Tensor,
    scale: float,
    kernel: Kernel,
) -> torch.Tensor:
    """softmax over all positions from per-page partial results: sum of w_p * out_p over sum of w_p, with
    w_p = exp(lse_p - max lse), as in flash-decoding's reduction."""
    kv_heads, width, dim = queries.shape
    lse = torch.full((plan.slots, kv_heads, width), float("-inf"), dtype=torch.float32, device=queries.device)
    partial = []
    for call in plan.past:
        pages = slice(call.page, call.page + call.count)
        q = queries[:, call.columns].unsqueeze(0).expand(call.count, -1, -1, -1)
        out, part_lse = kernel(q, keys[pages], values[pages], None, scale)
        lse[call.index : call.index + call.count, :, call.columns] = part_lse
        partial.append(out)
    top = torch.maximum(lse.amax(dim=0), own_lse)
    weight = torch.exp(lse - top)
    own_weight = torch.exp(own_lse - top)
    merged = torch.empty_like(own_out)
    alike = not plan.gaps and all(call.columns == slice(0, width) for call in plan.past)
    step = MERGE_COLUMNS if alike else width
    for first in range(0, width, step):
        block = slice(first, min(first + step, width))
        weighted = _weigh(plan, partial, weight, block, dim)
        total = _tree_sum(weight[:, :, block]).add_(own_weight[:, block]).unsqueeze(-1)
        own = own_out[:, block].float().mul_(own_weight[:, block].unsqueeze(-1))
        # Adding 0.0 makes a -0.0 a 0.0: with and without an absent page's zero, the bits are the same.
        merged[:, block] = _tree_sum(weighted).add_(own).add_(0.0).div_(total)
    return merged


def _weigh(
    plan: Plan, partial: Sequence[torch.Tensor], weight: torch.Tensor, block: slice, dim: int
) -> torch.Tensor:
    """w_p * out_p for some columns: float32 [slots, kv_heads, columns, D], zero where a page is absent."""
    kv_heads, columns = weight.shape[1], block.stop - block.start
    weighted = torch.empty((plan.slots, kv_heads, columns, dim), dtype=torch.float32, device=weight.device)
    for gap in plan.gaps:
        weighted[gap].zero_()
    for call, out in zip(plan.past, partial, strict=True):
        slots = slice(call.index, call.index + call.count)
        if call.columns == slice(0, weight.shape[2]):
            torch.mul(out[:, :, block], weight[slots, :, block].unsqueeze(-1), out=weighted[slots])
        elif isinstance(call.columns, slice):
            share = weight[slots, :, call.columns].unsqueeze(-1)
            torch.mul(out, share, out=weighted[slots, :, call.columns])
        else:
            weighted[slots, :, call.columns] = out * weight[slots, :, call.columns].unsqueeze(-1)
    return weighted


def _tree_sum(x: torch.Tensor) -> torch.Tensor:
    """Sum over dimension 0 in place, pairing neighbours by their index: what a slot meets, and when, does not
    depend on how many slots follow, so that slots that are zero or not there change no bit."""
    while x.shape[0] > 1:
        even = x.shape[0] // 2 * 2
        x[0:even:2].add_(x[1:even:2])
        x = x[0::2]
    return x[0]

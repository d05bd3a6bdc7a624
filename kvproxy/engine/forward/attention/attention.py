"""Attention over spans of pages, so that a row's result depends on its prefix and nothing else.

The rules that make a hit equal a miss to the bit:

1. Which calls there are for a row, and how many positions each has, follows from the row's position alone
   (``plan``).
2. Every call has a number of query columns in which the kernel's rows do not depend on each other (``widths``;
   ``numerics`` measures every one of them).
3. Partial results are merged in float32 by elementwise operations, in the order of the calls; a row meets its own
   calls only. No reduction's order can depend on what else is in the tile.

Grouped-query attention folds the query heads of a KV head into columns: nothing is repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.attention.call_plan import SLACK_COLUMNS, AttentionCall, TilePlan
from kvproxy.engine.forward.attention.call_shapes import Positions
from kvproxy.engine.forward.attention.kernels import LOG2_E, Kernel
from kvproxy.engine.forward.whole_vectors import slack, whole

_VIEWS = 512
"""Ranges of a layer's positions whose views are remembered: making one takes as long as a small operation."""


class LayerKV:
    """One layer's part of the pool."""

    def __init__(self, kv: torch.Tensor) -> None:
        """kv: [2, kv_heads, pages, PAGE_TOKENS, D]"""
        self.keys, self.values = kv.flatten(2, 3).unbind(0)
        """[kv_heads, pages * PAGE_TOKENS, D]"""
        self._views: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    def positions(self, call: AttentionCall) -> tuple[Positions, Positions]:
        """K and V of a call: [kv_heads, spans * length, D] each, as views; a view of each page where pages are no
        neighbours."""
        if isinstance(call.pages, int):
            return self._view(call.pages, call.spans * call.length)
        length = call.length if call.apart else PAGE_TOKENS
        views = [self._view(page, length) for page in call.pages]
        return tuple(k for k, _ in views), tuple(v for _, v in views)

    def _view(self, page: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The first ``count`` positions from a page's start on."""
        views = self._views.get((page, count))
        if views is None:
            if len(self._views) == _VIEWS:
                self._views.clear()
            where = slice(page * PAGE_TOKENS, page * PAGE_TOKENS + count)
            views = self._views[page, count] = self.keys[:, where], self.values[:, where]
        return views


@dataclass(frozen=True, slots=True)
class _Views:
    """A call's share of the buffers. Where its columns are no slice, its results are in memory of its own."""

    call: AttentionCall
    q: torch.Tensor
    """float32, as the kernel wants it; or all columns' queries, [1, kv_heads, columns, D]"""
    mask: torch.Tensor | None
    out: torch.Tensor
    """[spans, kv_heads, R, D] in the pool's dtype"""
    top: torch.Tensor
    total: torch.Tensor
    """float32 [spans, kv_heads, R]"""
    results: torch.Tensor
    """``out`` in the columns' order: [slots, kv_heads, width, D]"""
    weight: torch.Tensor
    """float32 [slots, kv_heads, width, 1], or all columns' weights"""
    term: torch.Tensor
    """float32 [slots, kv_heads, width, D]"""
    merged: torch.Tensor
    """float32 [kv_heads, width, D], or all columns'"""


@dataclass(frozen=True, slots=True)
class _Buffers:
    """Everything between two layers' matrix products for one plan. Its memory is shared with other plans', so
    that nothing in it outlives a layer."""

    plan: TilePlan
    calls: list[_Views]
    gathered: torch.Tensor
    """float32 [kv_heads, columns, D]: the queries, column by column."""
    top: torch.Tensor
    """float32 [slots, kv_heads, columns]: -inf where a column has no such span."""
    total: torch.Tensor
    best: torch.Tensor
    """float32 [kv_heads, columns]"""
    weight: torch.Tensor
    """float32 [slots, kv_heads, columns]"""
    whole_weight: torch.Tensor
    merged: torch.Tensor
    """float32 [kv_heads, columns, D]"""
    result: torch.Tensor
    """[rows, kv_heads, group, D] in the pool's dtype: a part of ``output``."""
    output: torch.Tensor
    """[M, heads * D] in the pool's dtype."""


class Attention:
    """One model's attention, for one thread at a time. Its buffers grow to the largest tile seen, and stay."""

    def __init__(
        self,
        kernel: Kernel,
        *,
        kv_heads: int,
        group: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._kernel = kernel
        self._kv_heads, self._group, self._dim = kv_heads, group, head_dim
        self._dtype, self._device = dtype, device
        self._threads = torch.get_num_threads()
        self._memory: dict[str, torch.Tensor] = {}
        self._buffers: _Buffers | None = None
        self._pool: tuple[torch.Tensor | None, list[LayerKV]] = None, []

    def layers(self, kv: torch.Tensor) -> list[LayerKV]:
        """A pool's layers; remembered until another pool is asked for."""
        if self._pool[0] is not kv:
            self._pool = kv, [LayerKV(x) for x in kv.unbind(0)]
        return self._pool[1]

    def queries(self, tile: int) -> torch.Tensor:
        """Where a layer puts its queries before ``attend``: float32 [kv_heads, tile, group, D], each scaled by
        log2(e) times the model's factor. Valid until the next tile of another size."""
        return self._folded(tile)[:, : tile * self._group].view(self._kv_heads, tile, self._group, self._dim)

    def fold(self, q: torch.Tensor, scale: float) -> None:
        """q: [M, heads, D], put into ``queries``."""
        target = self.queries(q.shape[0])
        target.copy_(q.unflatten(1, (self._kv_heads, self._group)).transpose(0, 1))
        target.mul_(scale * LOG2_E)

    def write(self, plan: TilePlan, kv: LayerKV, k: torch.Tensor, v: torch.Tensor) -> None:
        """Write a tile's K and V, [M, kv_heads, D], into their pages. Padding rows are not written."""
        for target, x in ((kv.keys, k), (kv.values, v)):
            if plan.indexed is not None:
                rows, to = plan.indexed
                target.index_copy_(1, to, x.index_select(0, rows).transpose(0, 1).to(self._dtype))
            for w in plan.writes:
                target[:, w.to : w.to + w.count].copy_(x[w.row : w.row + w.count].transpose(0, 1))

    def attend(self, plan: TilePlan, kv: LayerKV, tile: int) -> torch.Tensor:
        """Attend with what stands in ``queries(tile)`` to what stands in the pages.

        Returns [M, heads * D] in the pool's dtype, in memory that the next call reuses.
        """
        b = self._buffers
        if b is None or b.plan is not plan:
            b = self._buffers = self._bind(plan, tile)
        if plan.gather is not None:
            torch.index_select(self._folded(tile), 1, plan.gather, out=b.gathered)
        for slot in plan.gaps:
            b.top[slot].fill_(float("-inf"))
            b.total[slot].zero_()
        for x in b.calls:
            call = x.call
            k, v = kv.positions(call)
            if isinstance(call.columns, slice):
                self._kernel(x.q, k, v, x.mask, x.out, x.top, x.total)
                continue
            self._kernel(x.q.index_select(2, call.columns), k, v, None, x.out, x.top, x.total)
            slots = slice(call.slot, call.slot + call.spans)
            b.top[slots].index_copy_(2, call.columns, x.top)
            b.total[slots].index_copy_(2, call.columns, x.total)
        self._merge(b)
        return b.output

    def _merge(self, b: _Buffers) -> None:
        """softmax over all positions from partial results: sum of w_c * out_c over sum of w_c * total_c, with
        w_c = 2 ** (top_c - max top), as in flash-decoding's reduction."""
        plan = b.plan
        if plan.slots > 1:
            torch.amax(b.top, 0, out=b.best)
            torch.sub(b.top, b.best, out=b.weight)
            torch.exp2(b.whole_weight, out=b.whole_weight)
            b.total.mul_(b.weight)
            torch.add(b.total[0], b.total[1], out=b.best)
            for slot in range(2, plan.slots):
                b.best.add_(b.total[slot])
            b.weight.div_(b.best)
        else:
            torch.reciprocal(b.total, out=b.weight)
        for x in b.calls:
            columns = x.call.columns
            if x.call.slot == 0:
                torch.mul(x.results[0], x.weight[0], out=x.merged)
            elif isinstance(columns, slice):
                torch.mul(x.results, x.weight, out=x.term)
                for i in range(x.call.spans):
                    x.merged.add_(x.term[i])
            else:
                torch.mul(x.results, x.weight.index_select(2, columns), out=x.term)
                for i in range(x.call.spans):
                    x.merged.index_add_(1, columns, x.term[i])
        merged = b.merged[:, : plan.rows * self._group]
        if plan.scatter is not None:
            merged = b.merged.index_select(1, plan.scatter)
        b.result.copy_(merged.view(self._kv_heads, plan.rows, self._group, self._dim).transpose(0, 1))

    def _bind(self, plan: TilePlan, tile: int) -> _Buffers:
        heads, dim, columns, slots = self._kv_heads, self._dim, plan.columns, plan.slots
        shape = (slots, heads, columns)
        gathered = self._folded(tile)[:, :columns]
        if plan.gather is not None:
            gathered = self._take("gathered", (heads, columns, dim), torch.float32)
        out = self._take("out", (*shape, dim), self._dtype)
        top, total = self._take("top", shape, torch.float32), self._take("total", shape, torch.float32)
        weight = self._take("weight", shape, torch.float32)
        output = self._take(f"output {tile}", (tile, heads * self._group * dim), self._dtype)
        merged = self._take("merged", (heads, columns, dim), torch.float32)
        most = max((call.spans * call.width for call in plan.calls), default=0)
        self._take("term", (heads, most, dim), torch.float32)
        calls = []
        for call in plan.calls:
            c, mine = call.columns, slice(call.slot, call.slot + (1 if call.apart else call.spans))
            term = self._take("term", (mine.stop - mine.start, heads, call.width, dim), torch.float32)
            scale, mask = weight[mine].unsqueeze(-1), None if call.mask is None else call.mask[None, None]
            if not isinstance(c, slice):
                size = (call.spans, heads, call.width)
                kept = (out.new_empty(*size, dim), top.new_empty(size), top.new_empty(size))
                calls.append(_Views(call, gathered[None], mask, *kept, kept[0], scale, term, merged))
                continue
            q, results, tops, totals = (
                gathered[None, :, c],
                out[mine, :, c],
                top[mine, :, c],
                total[mine, :, c],
            )
            found = results
            if call.apart:
                # [1, kv_heads, spans * R, ...] -> [spans, kv_heads, R, ...]
                q, found, tops, totals = (
                    x[0].unflatten(1, (call.spans, -1)).transpose(0, 1) for x in (q, found, tops, totals)
                )
                mask = mask if mask is None else mask[0, 0].unflatten(0, (call.spans, -1)).unsqueeze(1)
            views = _Views(call, q, mask, found, tops, totals, results, scale[:, :, c], term, merged[:, c])
            calls.append(views)
        return _Buffers(
            plan=plan,
            calls=calls,
            gathered=gathered,
            top=top,
            total=total,
            best=self._take("best", shape[1:], torch.float32),
            weight=weight,
            whole_weight=self._memory["weight"][: whole(weight.numel(), self._threads)],
            merged=merged,
            result=output[: plan.rows].view(plan.rows, heads, self._group, dim),
            output=output,
        )

    def _folded(self, tile: int) -> torch.Tensor:
        """float32 [kv_heads, tile * group + SLACK_COLUMNS, D]: what pads the last call stands behind the rows."""
        columns = tile * self._group + SLACK_COLUMNS
        return self._take(f"queries {tile}", (self._kv_heads, columns, self._dim), torch.float32)

    @torch.inference_mode(False)
    def _take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        numel = math.prod(shape)
        size = numel + slack(self._threads)
        memory = self._memory.get(name)
        if memory is None or memory.numel() < size:
            memory = self._memory[name] = torch.zeros(size, dtype=dtype, device=self._device)
        return memory[:numel].view(shape)

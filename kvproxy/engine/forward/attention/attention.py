"""Attention over spans of pages on the CPU: a row's result depends on its prefix and nothing else.

The rules that make a hit equal a miss to the bit:

1. Which calls there are for a row, and how many positions each has, follows from the row's position alone
   (``call_plan``).
2. Every call has a number of query columns in which the kernel's rows do not depend on each other (``call_shapes``;
   ``invariance`` measures every one of them).
3. Partial results are merged in float32 by elementwise operations, in the order of the calls; a row meets its own
   calls only. No reduction's order can depend on the tile's other rows.

Partial results are those of online softmax: Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018);
Dao, "FlashAttention-2" (2023). Grouped-query attention folds the query heads of a KV head into columns: nothing is
repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from kvproxy.engine.forward.attention.call_plan import SLACK_COLUMNS, AttentionCall, TilePlan
from kvproxy.engine.forward.attention.kernels import LOG2_E, Kernel
from kvproxy.engine.forward.attention.layer_kv import LayerKV
from kvproxy.engine.forward.whole_vectors import slack, whole


@dataclass(frozen=True, slots=True)
class _CallBuffers:
    """One call's views of the plan's buffers. Where its columns are no slice, its results are in memory of its own."""

    call: AttentionCall
    q: torch.Tensor
    """float32 [1 or spans, kv_heads, R, D], as the kernel wants it; or all columns' queries, [1, kv_heads, columns, D].
    """
    mask: torch.Tensor | None
    """float32 [1 or spans, 1, R, BLOCK_TOKENS]; None: every position is seen."""
    weighted_sum: torch.Tensor
    """[spans, kv_heads, R, D] in the pool's dtype: values weighted with 2 ** (score - row_max)."""
    row_max: torch.Tensor
    """float32 [spans, kv_heads, R]: the largest score of each row."""
    exp_sum: torch.Tensor
    """float32 [spans, kv_heads, R]: the sum of 2 ** (score - row_max)."""
    partials: torch.Tensor
    """[slots, kv_heads, width, D] in the pool's dtype: ``weighted_sum`` in the columns' order."""
    scale: torch.Tensor
    """float32 [slots, kv_heads, width, 1]: the factor of each partial result, or all columns' factors."""
    scaled_partial: torch.Tensor
    """float32 [slots, kv_heads, width, D]: ``partials`` times ``scale``."""
    merged: torch.Tensor
    """float32 [kv_heads, width, D]: the sum over slots of ``scaled_partial``, or all columns' sums."""


@dataclass(frozen=True, slots=True)
class _PlanBuffers:
    """Everything between two layers' matrix products for one plan.

    Its memory is shared with other plans', so that nothing in it outlives a layer.
    """

    plan: TilePlan
    calls: list[_CallBuffers]
    queries_by_column: torch.Tensor
    """float32 [kv_heads, columns, D]: the queries, column by column."""
    row_max: torch.Tensor
    """float32 [slots, kv_heads, columns]: -inf where a column has no such span."""
    exp_sum: torch.Tensor
    """float32 [slots, kv_heads, columns]: 0 where a column has no such span."""
    merged_max: torch.Tensor
    """float32 [kv_heads, columns]: the largest ``row_max`` of all slots."""
    merged_exp_sum: torch.Tensor
    """float32 [kv_heads, columns], the same memory: the sum over slots of 2 ** (row_max - merged_max) * exp_sum."""
    scale: torch.Tensor
    """float32 [slots, kv_heads, columns]: 2 ** (row_max - merged_max) / merged_exp_sum."""
    scale_vectors: torch.Tensor
    """float32, flat: the memory of ``scale``, up to the end of its last whole vector."""
    merged: torch.Tensor
    """float32 [kv_heads, columns, D]: attention's result, column by column."""
    rows_output: torch.Tensor
    """[rows, kv_heads, group, D] in the pool's dtype: a part of ``output``."""
    output: torch.Tensor
    """[M, heads * D] in the pool's dtype: attention's result, row by row."""


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
        """Start without buffers. ``group``: query heads of a KV head; ``dtype`` and ``device``: the pool's.

        Example: ``Attention(kernel, kv_heads=3, group=3, head_dim=64, dtype=torch.float32, device=pool.kv.device)``
        """
        self._kernel = kernel
        self._kv_heads, self._group, self._dim = kv_heads, group, head_dim
        self._dtype, self._device = dtype, device
        self._threads = torch.get_num_threads()
        self._memory: dict[str, torch.Tensor] = {}
        self._buffers: _PlanBuffers | None = None
        self._pool: tuple[torch.Tensor | None, list[LayerKV]] = None, []

    def layers(self, kv: torch.Tensor) -> list[LayerKV]:
        """Return a pool's layers, remembered until another pool is asked for. kv: the pool's tensor."""
        if self._pool[0] is not kv:
            self._pool = kv, [LayerKV(x) for x in kv.unbind(0)]
        return self._pool[1]

    def queries(self, tile: int) -> torch.Tensor:
        """Return the memory for a layer's queries, to fill before ``attend``: float32 [kv_heads, tile, group, D].

        Each query is scaled by log2(e) times the model's factor. Valid until the next tile of another size.
        """
        return self._folded(tile)[:, : tile * self._group].view(self._kv_heads, tile, self._group, self._dim)

    def fold(self, q: torch.Tensor, scale: float) -> None:
        """Scale and copy q, [M, heads, D], into ``queries``; scale: the model's factor."""
        target = self.queries(q.shape[0])
        target.copy_(q.unflatten(1, (self._kv_heads, self._group)).transpose(0, 1))
        target.mul_(scale * LOG2_E)

    def write(self, plan: TilePlan, kv: LayerKV, k: torch.Tensor, v: torch.Tensor) -> None:
        """Write a tile's K and V, [M, kv_heads, D], into their pages. Padding rows are not written.

        Example: ``attention.write(plan, attention.layers(pool.kv)[0], k, v)``
        """
        for target, x in ((kv.keys, k), (kv.values, v)):
            if plan.indexed is not None:
                rows, to = plan.indexed
                target.index_copy_(1, to, x.index_select(0, rows).transpose(0, 1).to(self._dtype))
            for w in plan.writes:
                target[:, w.to : w.to + w.count].copy_(x[w.row : w.row + w.count].transpose(0, 1))

    def attend(self, plan: TilePlan, kv: LayerKV, tile: int) -> torch.Tensor:
        """Attend with ``queries(tile)`` to the positions in the pages that the plan names.

        Returns [M, heads * D] in the pool's dtype, in memory that the next call reuses.

        Example: ``attention.attend(plan, attention.layers(pool.kv)[0], tile=64)``
        """
        b = self._buffers
        if b is None or b.plan is not plan:
            b = self._buffers = self._bind(plan, tile)
        if plan.gather is not None:
            torch.index_select(self._folded(tile), 1, plan.gather, out=b.queries_by_column)
        for slot in plan.gaps:
            b.row_max[slot].fill_(float("-inf"))
            b.exp_sum[slot].zero_()
        for x in b.calls:
            call = x.call
            k, v = kv.positions(call)
            if isinstance(call.columns, slice):
                self._kernel(x.q, k, v, x.mask, x.weighted_sum, x.row_max, x.exp_sum)
                continue
            self._kernel(x.q.index_select(2, call.columns), k, v, None, x.weighted_sum, x.row_max, x.exp_sum)
            slots = slice(call.slot, call.slot + call.spans)
            b.row_max[slots].index_copy_(2, call.columns, x.row_max)
            b.exp_sum[slots].index_copy_(2, call.columns, x.exp_sum)
        self._merge(b)
        return b.output

    def _merge(self, b: _PlanBuffers) -> None:
        """Merge partial results into the softmax over all positions.

        As in flash-decoding's reduction, with ``w_c = 2 ** (row_max_c - merged_max)``: the sum over calls c of ``w_c *
        weighted_sum_c``, divided by the sum of ``w_c * exp_sum_c``.
        """
        plan = b.plan
        if plan.slots > 1:
            torch.amax(b.row_max, 0, out=b.merged_max)
            torch.sub(b.row_max, b.merged_max, out=b.scale)
            torch.exp2(b.scale_vectors, out=b.scale_vectors)
            b.exp_sum.mul_(b.scale)
            torch.add(b.exp_sum[0], b.exp_sum[1], out=b.merged_exp_sum)
            for slot in range(2, plan.slots):
                b.merged_exp_sum.add_(b.exp_sum[slot])
            b.scale.div_(b.merged_exp_sum)
        else:
            torch.reciprocal(b.exp_sum, out=b.scale)
        for x in b.calls:
            columns = x.call.columns
            if x.call.slot == 0:
                torch.mul(x.partials[0], x.scale[0], out=x.merged)
            elif isinstance(columns, slice):
                torch.mul(x.partials, x.scale, out=x.scaled_partial)
                for i in range(x.call.spans):
                    x.merged.add_(x.scaled_partial[i])
            else:
                torch.mul(x.partials, x.scale.index_select(2, columns), out=x.scaled_partial)
                for i in range(x.call.spans):
                    x.merged.index_add_(1, columns, x.scaled_partial[i])
        merged = b.merged[:, : plan.rows * self._group]
        if plan.scatter is not None:
            merged = b.merged.index_select(1, plan.scatter)
        b.rows_output.copy_(merged.view(self._kv_heads, plan.rows, self._group, self._dim).transpose(0, 1))

    def _bind(self, plan: TilePlan, tile: int) -> _PlanBuffers:
        """Lay out the buffers for a plan of a tile of ``tile`` rows."""
        heads, dim, columns = self._kv_heads, self._dim, plan.columns
        shape = (plan.slots, heads, columns)
        queries = self._folded(tile)[:, :columns]
        if plan.gather is not None:
            queries = self._take("queries by column", (heads, columns, dim), torch.float32)
        scale = self._take("scale", shape, torch.float32)
        merged_max = self._take("merged max", shape[1:], torch.float32)
        output = self._take(f"output {tile}", (tile, heads * self._group * dim), self._dtype)
        b = _PlanBuffers(
            plan=plan,
            calls=[],
            queries_by_column=queries,
            row_max=self._take("row max", shape, torch.float32),
            exp_sum=self._take("exp sum", shape, torch.float32),
            merged_max=merged_max,
            merged_exp_sum=merged_max,
            scale=scale,
            scale_vectors=self._memory["scale"][: whole(scale.numel(), self._threads)],
            merged=self._take("merged", (heads, columns, dim), torch.float32),
            rows_output=output[: plan.rows].view(plan.rows, heads, self._group, dim),
            output=output,
        )
        most = max((call.spans * call.width for call in plan.calls), default=0)
        self._take("scaled partial", (heads, most, dim), torch.float32)
        partials = self._take("partials", (*shape, dim), self._dtype)
        b.calls.extend(self._bind_call(call, b, partials) for call in plan.calls)
        return b

    def _bind_call(self, call: AttentionCall, b: _PlanBuffers, partials: torch.Tensor) -> _CallBuffers:
        """Cut a call's views out of the plan's buffers. partials: [slots, kv_heads, columns, D]."""
        heads, dim, columns = self._kv_heads, self._dim, call.columns
        slots = slice(call.slot, call.slot + (1 if call.apart else call.spans))
        size = (slots.stop - slots.start, heads, call.width, dim)
        scaled_partial = self._take("scaled partial", size, torch.float32)
        scale, mask = b.scale[slots].unsqueeze(-1), None if call.mask is None else call.mask[None, None]
        q = b.queries_by_column[None]
        if not isinstance(columns, slice):
            size = (call.spans, heads, call.width, dim)
            own, maxima, sums = (
                partials.new_empty(size),
                b.row_max.new_empty(size[:3]),
                b.exp_sum.new_empty(size[:3]),
            )
            return _CallBuffers(call, q, mask, own, maxima, sums, own, scale, scaled_partial, b.merged)
        by_column = (q, partials[slots], b.row_max[slots], b.exp_sum[slots])
        q, mine, maxima, sums = (x[:, :, columns] for x in by_column)
        weighted_sum = mine
        if call.apart:
            # [1, kv_heads, spans * R, ...] -> [spans, kv_heads, R, ...]
            q, weighted_sum, maxima, sums = (
                x[0].unflatten(1, (call.spans, -1)).transpose(0, 1) for x in (q, mine, maxima, sums)
            )
            mask = mask if mask is None else mask[0, 0].unflatten(0, (call.spans, -1)).unsqueeze(1)
        views = (weighted_sum, maxima, sums, mine, scale[:, :, columns], scaled_partial, b.merged[:, columns])
        return _CallBuffers(call, q, mask, *views)

    def _folded(self, tile: int) -> torch.Tensor:
        """Return the queries with the last call's padding behind them.

        float32 [kv_heads, tile * group + SLACK_COLUMNS, D].
        """
        columns = tile * self._group + SLACK_COLUMNS
        return self._take(f"queries {tile}", (self._kv_heads, columns, self._dim), torch.float32)

    @torch.inference_mode(False)
    def _take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Return a view of the memory of that name, which grows when it is too small."""
        numel = math.prod(shape)
        size = numel + slack(self._threads)
        memory = self._memory.get(name)
        if memory is None or memory.numel() < size:
            memory = self._memory[name] = torch.zeros(size, dtype=dtype, device=self._device)
        return memory[:numel].view(shape)

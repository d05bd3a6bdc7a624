"""Attention of a tile's rows over the pages of their sequences, on a CUDA device.

A row's bits depend on its prefix alone:

1. Positions are taken in spans of SPAN, and in each in steps of STEP, both aligned to position 0. A step or span
   that a row must not see changes none of its bits: it adds zeros to sums and multiplies by exactly 1.
2. Spans are merged in their order by the same operations, whether one program walks through them all (many rows) or
   each is computed by its own and they are merged afterwards (few rows: enough programs to fill the device).
   Multiplications and additions are fused where it says ``fma`` and nowhere else: left to itself, the compiler
   fuses them in one of the two and not in the other.
3. Always blocks of BLOCK query rows, even for one: the tensor cores' instruction is the same.

Partial results are online softmax's, as in FlashAttention-2 (Dao, 2023). The query heads of a KV head are folded into
rows: nothing is repeated.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.cuda.tile_layout import BLOCK, SPAN
from kvproxy.engine.forward.cuda.upload import TileViews

LOG2_E = 1.4426950408889634


@triton.jit
def _merge(row_max, exp_sum, span_max, span_exp_sum):
    """Add a span's largest score and sum of weights to those of the spans before it.

    Return both, and the factors for the weighted sums of the spans before and of this span.
    """
    new_max = tl.maximum(row_max, span_max)
    finite_max = tl.where(new_max == float("-inf"), 0.0, new_max)
    rescale = tl.exp2(row_max - finite_max)
    span_rescale = tl.exp2(span_max - finite_max)
    exp_sum = tl.fma(exp_sum, rescale, span_exp_sum * span_rescale)
    return new_max, exp_sum, rescale, span_rescale


@triton.jit
def _attend(
    q_ptr,
    k_ptr,
    v_ptr,
    blocks_ptr,
    tables_ptr,
    out_ptr,
    stat_ptr,
    scale,
    page_stride,
    head_stride,
    span_stride,
    stat_stride,
    kv_heads,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_R: tl.constexpr,
    STEP: tl.constexpr,
    SPAN_: tl.constexpr,
    PAGE: tl.constexpr,
    SPLIT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    block = tl.program_id(0)
    head = tl.program_id(1)
    first_row = tl.load(blocks_ptr + 4 * block)
    count = tl.load(blocks_ptr + 4 * block + 1)
    first_position = tl.load(blocks_ptr + 4 * block + 2)
    table = tables_ptr + tl.load(blocks_ptr + 4 * block + 3)
    end = first_position + count
    lo = 0
    hi = tl.where(count > 0, (end + SPAN_ - 1) // SPAN_, 0)
    if SPLIT:
        lo = tl.program_id(2)
        hi = tl.minimum(hi, lo + 1)
    if lo < hi:
        folded = tl.arange(0, BLOCK_R)
        local = folded // GROUP
        valid = local < count
        position = first_position + tl.minimum(local, count - 1)
        d = tl.arange(0, BLOCK_D)
        in_head = d < D
        step = tl.arange(0, STEP)
        lanes = ((first_row + local) * kv_heads + head) * GROUP + folded % GROUP
        q_at = q_ptr + lanes[:, None] * D + d[None, :]
        q = tl.load(q_at, mask=valid[:, None] & in_head[None, :], other=0.0)
        row_max = tl.full((BLOCK_R,), float("-inf"), dtype=tl.float32)
        exp_sum = tl.zeros((BLOCK_R,), dtype=tl.float32)
        weighted_sum = tl.zeros((BLOCK_R, BLOCK_D), dtype=tl.float32)
        for span in range(lo, hi):
            span_max = tl.full((BLOCK_R,), float("-inf"), dtype=tl.float32)
            span_exp_sum = tl.zeros((BLOCK_R,), dtype=tl.float32)
            span_sum = tl.zeros((BLOCK_R, BLOCK_D), dtype=tl.float32)
            for start in range(span * SPAN_, tl.minimum((span + 1) * SPAN_, end), STEP):
                page = tl.load(table + start // PAGE).to(tl.int64)
                at = page * page_stride + head * head_stride + (start % PAGE) * D
                seen = start + step
                # Positions that were never written may hold anything: their scores are masked below, values here.
                k = tl.load(k_ptr + at + step[None, :] * D + d[:, None], mask=in_head[:, None], other=0.0)
                s = tl.dot(q, k, input_precision=PRECISION)
                s = tl.where(seen[None, :] <= position[:, None], s, float("-inf"))
                new_max = tl.maximum(span_max, tl.max(s, 1) * scale)
                finite_max = tl.where(new_max == float("-inf"), 0.0, new_max)
                p = tl.exp2(tl.fma(s, scale, -finite_max[:, None]))
                step_rescale = tl.exp2(span_max - finite_max)
                span_exp_sum = tl.fma(span_exp_sum, step_rescale, tl.sum(p, 1))
                v_at = v_ptr + at + step[:, None] * D + d[None, :]
                v = tl.load(v_at, mask=(seen < end)[:, None] & in_head[None, :], other=0.0)
                span_sum = tl.dot(
                    p.to(v.dtype), v, span_sum * step_rescale[:, None], input_precision=PRECISION
                )
                span_max = new_max
            row_max, exp_sum, rescale, span_rescale = _merge(row_max, exp_sum, span_max, span_exp_sum)
            weighted_sum = tl.fma(weighted_sum, rescale[:, None], span_sum * span_rescale[:, None])
        stored = valid[:, None] & in_head[None, :]
        if SPLIT:
            tl.store(
                out_ptr + tl.program_id(2).to(tl.int64) * span_stride + lanes[:, None] * D + d[None, :],
                weighted_sum,
                mask=stored,
            )
            tl.store(stat_ptr + lo * stat_stride + 2 * lanes, row_max, mask=valid)
            tl.store(stat_ptr + lo * stat_stride + 2 * lanes + 1, exp_sum, mask=valid)
        else:
            # Adding 0.0 makes a -0.0 a 0.0, as merging with an empty span does.
            out = (weighted_sum + 0.0) * tl.math.div_rn(1.0, exp_sum)[:, None]
            tl.store(out_ptr + lanes[:, None] * D + d[None, :], out.to(out_ptr.dtype.element_ty), mask=stored)


@triton.jit(do_not_specialize=["spans"])  # one kernel for all depths
def _gather(
    partial_ptr,
    stat_ptr,
    positions_ptr,
    out_ptr,
    span_stride,
    stat_stride,
    spans,
    heads,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    SPAN_: tl.constexpr,
):
    row = tl.program_id(0)
    lane = row * heads + tl.program_id(1)
    d = tl.arange(0, BLOCK_D)
    in_head = d < D
    # Padding rows belong to no block; they gather one span of any content.
    last = tl.minimum(tl.load(positions_ptr + row) // SPAN_ + 1, spans)
    row_max = float("-inf")
    exp_sum = 0.0
    weighted_sum = tl.zeros((BLOCK_D,), dtype=tl.float32)
    partial = partial_ptr + lane * D + d
    stat = stat_ptr + 2 * lane
    for _ in range(0, last):
        span_sum = tl.load(partial, mask=in_head, other=0.0)
        span_max = tl.load(stat)
        span_exp_sum = tl.load(stat + 1)
        partial += span_stride
        stat += stat_stride
        row_max, exp_sum, rescale, span_rescale = _merge(row_max, exp_sum, span_max, span_exp_sum)
        weighted_sum = tl.fma(weighted_sum, rescale, span_sum * span_rescale)
    out = (weighted_sum + 0.0) * tl.math.div_rn(1.0, exp_sum)
    tl.store(out_ptr + lane * D + d, out.to(out_ptr.dtype.element_ty), mask=in_head)


def attend(
    q: torch.Tensor,
    kv: torch.Tensor,
    tile: TileViews,
    *,
    scale: float,
    spans: int | None,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Attend with a tile's queries to the pages of each row's sequence.

    q: [M, heads, D]; kv: [2, kv_heads, pages, PAGE_TOKENS, D], this tile's K and V written before. scale: the factor of
    scores. spans: at least the most spans that any row sees, each then in programs of its own; None: programs walk.
    Returns [M, heads, D] in ``dtype``, by default q's; padding rows hold anything.

    Example: ``attend(q, kv, staging.views(tile.shape), scale=128**-0.5, spans=tile.shape.spans)``
    """
    rows, heads, dim = q.shape
    keys, values, kv_heads = kv[0], kv[1], kv.shape[1]
    wide = max(16, triton.next_power_of_2(dim))
    single = q.dtype == torch.float32
    out = torch.empty_like(q, dtype=dtype)
    partial, stat = out, out
    if spans is not None:
        partial = torch.empty(spans, rows, heads, dim, dtype=torch.float32, device=q.device)
        stat = torch.empty(spans, rows, heads, 2, dtype=torch.float32, device=q.device)
    _attend[(tile.blocks.shape[0], kv_heads, spans or 1)](
        q,
        keys,
        values,
        tile.blocks,
        tile.tables,
        partial,
        stat,
        scale * LOG2_E,
        keys.stride(1),
        keys.stride(0),
        rows * heads * dim,
        rows * heads * 2,
        kv_heads,
        GROUP=heads // kv_heads,
        D=dim,
        BLOCK_D=wide,
        BLOCK_R=BLOCK,
        STEP=32 if single else 64,
        SPAN_=SPAN,
        PAGE=PAGE_TOKENS,
        SPLIT=spans is not None,
        PRECISION="ieee" if single else "tf32",
        num_warps=4,
        num_stages=1 if single else 3,
        enable_fp_fusion=False,
    )
    if spans is not None:
        _gather[(rows, heads)](
            partial,
            stat,
            tile.positions,
            out,
            rows * heads * dim,
            rows * heads * 2,
            spans,
            heads,
            D=dim,
            BLOCK_D=wide,
            SPAN_=SPAN,
            num_warps=1,
            enable_fp_fusion=False,
        )
    return out

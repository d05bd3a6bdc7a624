"""Kernels for each row by itself: norms, rotary embedding, SwiGLU.

In float32 between one rounding to the model's dtype and the next, and so is the residual stream: more precise than
transformers' bf16.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.cuda.upload import TileViews


@triton.jit
def _add_norm(
    h_ptr, delta_ptr, weight_ptr, x_ptr, eps, ADD: tl.constexpr, SIZE: tl.constexpr, WIDE: tl.constexpr
):
    row = tl.program_id(0)
    at = tl.arange(0, WIDE)
    inside = at < SIZE
    h = tl.load(h_ptr + row * SIZE + at, mask=inside, other=0.0)
    if ADD:
        h += tl.load(delta_ptr + row * SIZE + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(h_ptr + row * SIZE + at, h, mask=inside)
    weight = tl.load(weight_ptr + at, mask=inside, other=0.0).to(tl.float32)
    x = h * tl.math.rsqrt(tl.sum(h * h) * (1.0 / SIZE) + eps) * weight
    tl.store(x_ptr + row * SIZE + at, x.to(x_ptr.dtype.element_ty), mask=inside)


def add_norm(h: torch.Tensor, delta: torch.Tensor | None, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Add ``delta`` to ``h`` in place; return the sum's RMS norm in the weight's dtype.

    h: float32 [M, hidden]; delta: [M, hidden]; weight: [hidden].

    Example: ``x = add_norm(h, None, layer_norm.weight, 1e-6)``
    """
    rows, size = h.shape
    x = torch.empty(rows, size, dtype=weight.dtype, device=h.device)
    wide = triton.next_power_of_2(size)
    _add_norm[(rows,)](
        h,
        h if delta is None else delta,
        weight,
        x,
        eps,
        ADD=delta is not None,
        SIZE=size,
        WIDE=wide,
        num_warps=4 if wide <= 4096 else 8,
        enable_fp_fusion=False,
    )
    return x


@triton.jit
def _rotate_and_write(
    qkv_ptr,
    positions_ptr,
    row_tables_ptr,
    tables_ptr,
    turns_ptr,
    norm_q_ptr,
    norm_k_ptr,
    q_ptr,
    k_ptr,
    v_ptr,
    eps,
    page_stride,
    head_stride,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    HALF: tl.constexpr,
    WIDE_HEADS: tl.constexpr,
    WIDE_HALF: tl.constexpr,
    NORM: tl.constexpr,
    PAGE: tl.constexpr,
):
    row = tl.program_id(0)
    kind = tl.program_id(1)  # 0: queries, 1: keys, 2: values
    dtype = q_ptr.dtype.element_ty
    count = tl.where(kind == 0, HEADS, KV_HEADS)
    offset = tl.where(kind == 0, 0, tl.where(kind == 1, HEADS, HEADS + KV_HEADS))
    head = tl.arange(0, WIDE_HEADS)
    d = tl.arange(0, WIDE_HALF)
    inside = (head < count)[:, None] & (d < HALF)[None, :]
    at = qkv_ptr + (row * (HEADS + 2 * KV_HEADS) + offset + head)[:, None] * (2 * HALF) + d[None, :]
    left = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    right = tl.load(at + HALF, mask=inside, other=0.0).to(tl.float32)
    position = tl.load(positions_ptr + row)
    if kind < 2:
        if NORM:
            weights = norm_q_ptr
            if kind == 1:
                weights = norm_k_ptr
            w_left = tl.load(weights + d, mask=d < HALF, other=0.0).to(tl.float32)
            w_right = tl.load(weights + HALF + d, mask=d < HALF, other=0.0).to(tl.float32)
            squares = tl.sum(left * left, 1, keep_dims=True) + tl.sum(right * right, 1, keep_dims=True)
            by = tl.math.rsqrt(squares * (1.0 / (2 * HALF)) + eps)
            left = left * by * w_left[None, :]
            right = right * by * w_right[None, :]
        turn = turns_ptr + position.to(tl.int64) * (2 * HALF) + d
        cos = tl.load(turn, mask=d < HALF, other=0.0).to(tl.float32)[None, :]
        sin = tl.load(turn + HALF, mask=d < HALF, other=0.0).to(tl.float32)[None, :]
        turned = tl.fma(left, cos, -(right * sin))
        right = tl.fma(right, cos, left * sin)
        left = turned
    if kind == 0:
        there = q_ptr + (row * HEADS + head)[:, None] * (2 * HALF) + d[None, :]
        tl.store(there, left.to(dtype), mask=inside)
        tl.store(there + HALF, right.to(dtype), mask=inside)
    else:
        page = tl.load(tables_ptr + tl.load(row_tables_ptr + row) + position // PAGE).to(tl.int64)
        pool = k_ptr
        if kind == 2:
            pool = v_ptr
        place = pool + page * page_stride + (position % PAGE) * (2 * HALF)
        here = place + head[:, None] * head_stride + d[None, :]
        tl.store(here, left.to(dtype), mask=inside)
        tl.store(here + HALF, right.to(dtype), mask=inside)


def rotate_and_write(
    qkv: torch.Tensor,
    kv: torch.Tensor,
    tile: TileViews,
    turns: torch.Tensor,
    *,
    heads: int,
    norms: tuple[torch.Tensor, torch.Tensor, float] | None,
) -> torch.Tensor:
    """Norm and turn queries and keys; write K and V into their pages, in place.

    qkv: [M, (heads + 2 kv_heads) * D]. kv: [2, kv_heads, pages, PAGE_TOKENS, D]. turns: float32 [positions, D], cosines
    of the first half of a head, then sines. norms: weights of q and k, and epsilon; None: without. Returns the queries,
    [M, heads, D].

    Example: ``q = rotate_and_write(qkv, kv, staging.views(shape), turns, heads=16, norms=None)``
    """
    rows, (_, kv_heads, _, _, dim) = qkv.shape[0], kv.shape
    q = torch.empty(rows, heads, dim, dtype=qkv.dtype, device=qkv.device)
    norm_q, norm_k, eps = norms if norms is not None else (qkv, qkv, 0.0)
    _rotate_and_write[(rows, 3)](
        qkv,
        tile.positions,
        tile.row_tables,
        tile.tables,
        turns,
        norm_q,
        norm_k,
        q,
        kv[0],
        kv[1],
        eps,
        kv.stride(2),
        kv.stride(1),
        HEADS=heads,
        KV_HEADS=kv_heads,
        HALF=dim // 2,
        WIDE_HEADS=triton.next_power_of_2(heads),
        WIDE_HALF=triton.next_power_of_2(dim // 2),
        NORM=norms is not None,
        PAGE=PAGE_TOKENS,
        num_warps=4,
        enable_fp_fusion=False,
    )
    return q


@triton.jit
def _gate(x_ptr, y_ptr, SIZE: tl.constexpr, WIDE: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    inside = at < SIZE
    gate = tl.load(x_ptr + row * (2 * SIZE) + at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(x_ptr + row * (2 * SIZE) + SIZE + at, mask=inside, other=0.0).to(tl.float32)
    active = tl.math.div_rn(gate, 1.0 + tl.exp(-gate))
    tl.store(y_ptr + row * SIZE + at, (active * up).to(y_ptr.dtype.element_ty), mask=inside)


def silu_gate(x: torch.Tensor) -> torch.Tensor:
    """Return silu(left half) * right half. x: [M, 2 * size] -> [M, size]."""
    rows, size = x.shape[0], x.shape[1] // 2
    y = torch.empty(rows, size, dtype=x.dtype, device=x.device)
    wide = 1024
    _gate[(rows, triton.cdiv(size, wide))](x, y, SIZE=size, WIDE=wide, num_warps=4, enable_fp_fusion=False)
    return y

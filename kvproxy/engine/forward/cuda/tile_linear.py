"""`TileLinear`: matrix products that give a row the same bits in a tile of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import nn


@dataclass(frozen=True, slots=True)
class _Cut:
    """The block of a product that one program computes, with its warps and pipeline stages."""

    m: int
    n: int
    k: int
    warps: int
    stages: int


def _cut(rows: int, out_features: int) -> _Cut:
    """Return the fastest cut on an H100. It decides the speed and no bit.

    Each element is one chain of additions along K, made by the tensor cores' instruction for 64 rows. So never fewer
    rows than that, even for one, and never a split of K, though for one row of the narrow products that would be a
    third faster.
    """
    if rows <= 64:
        if out_features >= 16384:
            return _Cut(64, 128, 64, 4, 4)
        return _Cut(64, 64 if out_features >= 4096 else 32, 128, 4, 4)
    if rows <= 256:
        return _Cut(128, 64, 64, 4, 4)
    return _Cut(128, 128, 64, 8, 3)


@triton.jit
def _product(
    x_ptr,
    w_ptr,
    b_ptr,
    y_ptr,
    M,
    N,
    K,
    HAS_BIAS: tl.constexpr,
    EVEN_K: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
):
    pid = tl.program_id(0)
    rows_of_blocks = tl.cdiv(M, BLOCK_M)
    columns_of_blocks = tl.cdiv(N, BLOCK_N)
    # Programs that run together share rows of x and of w in the L2 cache.
    together = GROUP_M * columns_of_blocks
    first = (pid // together) * GROUP_M
    height = min(rows_of_blocks - first, GROUP_M)
    m = (first + (pid % together) % height) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = ((pid % together) // height) * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    # Rows past the end are read again from the start and never written.
    x = x_ptr + (m % M)[:, None] * K + k[None, :]
    w = w_ptr + (n % N)[None, :] * K + k[:, None]
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, K, BLOCK_K):
        if EVEN_K:
            acc = tl.dot(tl.load(x), tl.load(w), acc)
        else:
            inside = k < K - start
            a = tl.load(x, mask=inside[None, :], other=0.0)
            acc = tl.dot(a, tl.load(w, mask=inside[:, None], other=0.0), acc)
        x += BLOCK_K
        w += BLOCK_K
    if HAS_BIAS:
        acc += tl.load(b_ptr + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
    y = y_ptr + m[:, None] * N + n[None, :]
    tl.store(y, acc.to(y_ptr.dtype.element_ty), mask=(m < M)[:, None] & (n < N)[None, :])


class TileLinear(nn.Linear):
    """x @ weight.T + bias in bf16, float32 inside.

    cuBLAS is faster for many rows, and adds up along K in the same order wherever it does not split K: it is used for
    the row counts in ``library_rows``, for which :meth:`agrees` was seen to hold.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Hold the weight, bf16 [out_features, in_features], and the bias, bf16 [out_features]; neither is copied."""
        super().__init__(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
        self.weight = nn.Parameter(weight.detach().contiguous(), requires_grad=False)
        if bias is not None:
            self.bias = nn.Parameter(bias.detach().contiguous(), requires_grad=False)
        self.library_rows: frozenset[int] = frozenset()

    def agrees(self, x: torch.Tensor) -> bool:
        """Return whether cuBLAS gives this kernel's bits for so many rows. x: [M, in_features]."""
        return torch.equal(super().forward(x), self._own(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply x, [..., in_features] -> [..., out_features]."""
        flat = x.reshape(-1, self.in_features)
        y = super().forward(flat) if flat.shape[0] in self.library_rows else self._own(flat.contiguous())
        return y.view(*x.shape[:-1], self.out_features)

    def _own(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.shape[0]
        y = torch.empty(rows, self.out_features, dtype=x.dtype, device=x.device)
        cut = _cut(rows, self.out_features)
        _product[(triton.cdiv(rows, cut.m) * triton.cdiv(self.out_features, cut.n),)](
            x,
            self.weight,
            x if self.bias is None else self.bias,
            y,
            rows,
            self.out_features,
            self.in_features,
            HAS_BIAS=self.bias is not None,
            EVEN_K=self.in_features % cut.k == 0,
            BLOCK_M=cut.m,
            BLOCK_N=cut.n,
            BLOCK_K=cut.k,
            GROUP_M=8,
            num_warps=cut.warps,
            num_stages=cut.stages,
        )
        return y


def fused(linears: Sequence[nn.Linear]) -> nn.Linear:
    """Return one layer with the outputs of several side by side."""
    weight = torch.cat([x.weight.detach() for x in linears])
    biases = [x.bias for x in linears]
    biased = any(b is not None for b in biases)
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=biased, device="meta")
    made.weight = nn.Parameter(weight, requires_grad=False)
    if biased:
        parts = [weight.new_zeros(x.out_features) if x.bias is None else x.bias.detach() for x in linears]
        made.bias = nn.Parameter(torch.cat(parts), requires_grad=False)
    return made


def tiled(linear: nn.Linear) -> nn.Linear:
    """Return the same layer with these products, where they are available: in bf16."""
    if linear.weight.dtype != torch.bfloat16:
        return linear
    return TileLinear(linear.weight, linear.bias)

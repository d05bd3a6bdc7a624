"""Attention kernels: partial results of one call's rows, which merge with those of other calls.

The choice follows from the device and the instruction set alone, never from a timing: it is part of the engine
fingerprint, and must be the same after a restart.

=============  ==========================================  =========================================================
name           where                                       kernel
=============  ==========================================  =========================================================
scores-cpu     CPUs with AVX512_BF16 and no AMX            float32 scores by matrix product (``scores_cpu``): flash
                                                           attention runs at a fifth of the products' speed there
flash-cpu      other CPUs                                  torch's flash attention
math           other devices                               plain float32 operations
=============  ==========================================  =========================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

import torch
from torch.nn.functional import pad

from kvproxy.engine.forward.attention.call_shapes import Positions, parts_of
from kvproxy.engine.forward.attention.scores_cpu import ScoresCpu

LOG2_E = math.log2(math.e)


class Kernel(Protocol):
    """Protocol of attention of one call's rows to its positions, in base 2.

    One instance is used by one thread: it may keep scratch memory.
    """

    def __call__(
        self,
        q: torch.Tensor,
        k: Positions,
        v: Positions,
        mask: torch.Tensor | None,
        weighted_sum: torch.Tensor,
        row_max: torch.Tensor,
        exp_sum: torch.Tensor,
    ) -> None:
        """Fill ``weighted_sum``, ``row_max`` and ``exp_sum`` with online softmax's partial result.

        The sum of 2 ** (score - row_max) is ``exp_sum``, and the values weighted with 2 ** (score - row_max) sum to
        ``weighted_sum``; score is q @ k, with the mask added.

        q: float32, scaled by log2(e) / sqrt(D) or the model's own factor: [1, kv_heads, R, D], or [S, kv_heads, R, D];
        k, v: S stretches of positions, each with a result of its own. mask: float32 [1 or S, 1, R, B], for the last B
        positions of a stretch (0 or -inf; no row is fully masked), or None. weighted_sum: [S, kv_heads, R, D] in the
        pool's dtype; row_max, exp_sum: float32 [S, kv_heads, R]. None need be contiguous.

        Example: ``kernel(q, k, v, None, weighted_sum, row_max, exp_sum)``
        """


LseKernel = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None, float], tuple[torch.Tensor, torch.Tensor]
]
"""(q [B, kv_heads, R, D], k and v [B, kv_heads, L, D], additive mask that broadcasts to [B, 1, R, L] or None,
scale) -> (out like q, float32 log-sum-exp [B, kv_heads, R]), in base e."""


def flash_cpu(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run torch's CPU flash attention, and return its log-sum-exp too. Shapes as in ``LseKernel``.

    Example: ``out, lse = flash_cpu(q, k, v, None, head_dim**-0.5)``
    """
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q, k, v, 0.0, False, attn_mask=mask, scale=scale
    )
    return out, lse


def math_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Do as :func:`flash_cpu` in plain float32 operations, for devices with a flash kernel that gives no log-sum-exp.

    Example: ``out, lse = math_attention(q, k, v, None, head_dim**-0.5)``
    """
    scores = torch.matmul(q.float(), k.float().transpose(-1, -2)) * scale
    if mask is not None:
        scores = scores + mask.float()
    lse = torch.logsumexp(scores, dim=-1)
    return torch.matmul(torch.exp(scores - lse.unsqueeze(-1)), v.float()).to(q.dtype), lse


KERNELS: Mapping[str, LseKernel] = MappingProxyType({"flash-cpu": flash_cpu, "math": math_attention})
SCORES = "scores-cpu"


class LseAdapter:
    """A ``Kernel`` around a function that returns normalised results and their log-sum-exp."""

    def __init__(self, kernel: LseKernel) -> None:
        self._kernel = kernel
        self._joined: torch.Tensor | None = None
        """Memory for K and V of stretches that are given in parts."""

    def __call__(
        self,
        q: torch.Tensor,
        k: Positions,
        v: Positions,
        mask: torch.Tensor | None,
        weighted_sum: torch.Tensor,
        row_max: torch.Tensor,
        exp_sum: torch.Tensor,
    ) -> None:
        """Fill ``row_max`` with the log-sum-exp in base 2, so that ``exp_sum`` is 1. See :meth:`Kernel.__call__`."""
        keys, values = self._stretches(k, v, len(weighted_sum))
        hidden = None
        if mask is not None:
            hidden = pad(mask, (keys.shape[2] - mask.shape[-1], 0)).to(keys.dtype)
        narrow = q.to(keys.dtype)
        for i in range(len(weighted_sum)):
            own = slice(i, i + 1) if len(q) > 1 else slice(0, 1)
            seen = None if hidden is None else hidden[own]
            normalised, lse = self._kernel(narrow[own], keys[i, None], values[i, None], seen, math.log(2.0))
            weighted_sum[i].copy_(normalised[0])
            torch.mul(lse[0], LOG2_E, out=row_max[i])
        exp_sum.fill_(1.0)

    def _stretches(self, k: Positions, v: Positions, spans: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return K and V by stretch, [S, kv_heads, L, D] each."""
        if isinstance(k, torch.Tensor) and isinstance(v, torch.Tensor):
            keys, values = (x.unflatten(1, (spans, -1)).transpose(0, 1) for x in (k, v))
            return keys, values
        pairs = parts_of(k), parts_of(v)
        keys, values = self._memory(pairs[0], spans)
        for parts, joined in zip(pairs, (keys, values), strict=True):
            pieces = joined.unflatten(2, (len(parts) // spans, -1))
            torch._foreach_copy_([piece for stretch in pieces for piece in stretch.unbind(1)], parts)
        return keys, values

    def _memory(self, parts: tuple[torch.Tensor, ...], spans: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return memory for joined K and V, [S, kv_heads, L, D] each."""
        heads, length, dim = parts[0].shape
        numel = len(parts) * parts[0].numel()
        if self._joined is None or self._joined.numel() < 2 * numel:
            self._joined = parts[0].new_zeros(2 * numel)
        keys, values = self._joined[: 2 * numel].view(2, spans, heads, len(parts) // spans * length, dim)
        return keys, values


def pick_kernel(device: torch.device) -> str:
    """Return the name of the device's kernel: SCORES or a key of KERNELS."""
    if device.type != "cpu":
        return "math"
    return (
        SCORES
        if torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported()
        else "flash-cpu"
    )


def open_kernel(name: str, *, kv_heads: int, head_dim: int, dtype: torch.dtype) -> Kernel:
    """Make a kernel with scratch memory of its own, for heads of this shape; ``dtype``: the pool's.

    Example: ``open_kernel(pick_kernel(device), kv_heads=3, head_dim=64, dtype=torch.bfloat16)``
    """
    if name == SCORES:
        return ScoresCpu(kv_heads, head_dim, dtype, torch.get_num_threads())
    return LseAdapter(KERNELS[name])

"""Attention kernels: each returns the log-sum-exp beside the output, so that pages can be merged.

Which one is used follows from the device, the dtype and the instruction set alone, never from a timing: the
choice is part of the engine fingerprint, and must be the same after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

Kernel = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None, float], tuple[torch.Tensor, torch.Tensor]
]
"""(q [B, kv_heads, R, D], k and v [B, kv_heads, L, D], additive mask that broadcasts to [B, 1, R, L] or None,
scale) -> (out like q, float32 log-sum-exp [B, kv_heads, R])."""


def flash_cpu(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """torch's CPU flash attention, asked for its log-sum-exp too."""
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q, k, v, 0.0, False, attn_mask=mask, scale=scale
    )
    return out, lse


def math_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same in plain float32 operations, for devices whose flash kernel gives no log-sum-exp."""
    scores = torch.matmul(q.float(), k.float().transpose(-1, -2)) * scale
    if mask is not None:
        scores = scores + mask.float()
    lse = torch.logsumexp(scores, dim=-1)
    return torch.matmul(torch.exp(scores - lse.unsqueeze(-1)), v.float()).to(q.dtype), lse


KERNELS: Mapping[str, Kernel] = MappingProxyType({"flash-cpu": flash_cpu, "math": math_attention})


def pick_kernel(device: torch.device) -> str:
    """The kernel's name in ``KERNELS``."""
    # Rejected for CPUs with AVX512_BF16 and no AMX, where flash runs at a fifth of the matrix product's
    # speed:
    # float32 scores by bmm, softmax, bf16 product with V. 1.2 times as fast alone, no faster inside a prefill.
    return "flash-cpu" if device.type == "cpu" else "math"

"""Root-mean-square norm with a float32 input, in few passes and with nothing allocated."""

from __future__ import annotations

import torch


class RmsNorm:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension.

    Only functions that round each operation for itself, or that see one row at a time, so that a row's bits do not
    depend on the others.
    """

    def __init__(self, weight: torch.Tensor, eps: float) -> None:
        """Fold the constants into the weight, [..., n]."""
        n = weight.shape[-1]
        # x / sqrt(sum(x^2) / n + eps) = sqrt(n) * x / sqrt(sum(x^2) + n * eps)
        self._weight = weight.detach().float() * n**0.5
        self._floor = n * eps

    def __call__(self, x: torch.Tensor, length: torch.Tensor, out: torch.Tensor) -> None:
        """Normalise x into out, float32 [..., n], maybe the same; length: float32 [..., 1], overwritten.

        Example: ``norm(h, torch.empty(rows, 1), out=h)``
        """
        torch.linalg.vector_norm(x, dim=-1, keepdim=True, out=length)
        length.square_().add_(self._floor).rsqrt_()
        torch.mul(x, length, out=out)
        out.mul_(self._weight)

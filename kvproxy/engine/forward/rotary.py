"""Rotary position embedding (Su et al., "RoFormer", 2021) as a product of complex numbers, in float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from kvproxy.engine.forward.attention.kernels import LOG2_E

_VECTOR = 16
"""Complex numbers in one step of torch's vectorized multiplication; a row of other sizes has a rest."""


@dataclass(frozen=True, slots=True)
class Angles:
    """The angles of a tile's rows."""

    k: torch.Tensor
    """complex64 [M, 1, D / 2]"""
    q: torch.Tensor
    """complex64 [M, 1, 1, D / 2]: the same, scaled."""


class Rotary:
    """The angles of every position, in pairs: dimension i and i + D/2 of a head are the parts of one number.

    Heads must be stored in pairs, see ``paired``.
    """

    def __init__(self, module: Any, head_dim: int, positions: int, scale: float) -> None:
        """Compute the angles of ``positions`` positions.

        module: transformers' rotary embedding, of a kind that does not depend on the prompt's length. scale: the factor
        of scores; queries are scaled by it times log2(e) (see ``kernels.Kernel``).

        Example: ``Rotary(body.rotary_emb, head_dim=64, positions=8192, scale=64**-0.5)``
        """
        with torch.inference_mode(False), torch.no_grad():
            device = module.inv_freq.device
            at = torch.arange(positions, device=device).unsqueeze(0)
            cos, sin = module(torch.zeros(1, dtype=torch.float32, device=device), at)
            half = head_dim // 2
            self._table = torch.complex(cos[0, :, :half].float(), sin[0, :, :half].float())
        self._factor = scale * LOG2_E
        # Elsewhere a number may be computed by scalar instructions, with other bits, depending on where the threads'
        # shares begin.
        self._direct = half % _VECTOR == 0 and torch.get_num_threads() <= 2 and device.type == "cpu"

    def angles(self, positions: torch.Tensor) -> Angles:
        """Return the angles of positions, [M] int64."""
        turn = self._table[positions].unsqueeze(1)
        scaled = torch.view_as_complex(torch.view_as_real(turn) * self._factor)
        return Angles(turn, scaled.unsqueeze(1))

    def turn(self, x: torch.Tensor, angles: torch.Tensor, out: torch.Tensor) -> None:
        """Multiply x by the angles into out, complex64 [..., D / 2], see ``pairs``; angles broadcast to them.

        Example: ``rotary.turn(pairs(k), rotary.angles(positions).k, out=pairs(turned))``
        """
        if self._direct:
            torch.mul(x, angles, out=out)
            return
        # The same sums, each rounding an operation of its own.
        x_re, x_im, re, im = x.real, x.imag, angles.real, angles.imag
        out.real.copy_(x_re * re).sub_(x_im * im)
        out.imag.copy_(x_re * im).add_(x_im * re)


def pairs(x: torch.Tensor) -> torch.Tensor:
    """View float32 [..., D] as complex64 [..., D / 2], the same memory."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))


def paired(heads: int, head_dim: int, device: torch.device) -> torch.Tensor:
    """Return the order that puts dimension i + D/2 of each head behind dimension i: [heads * head_dim] int64.

    Scores are sums over a head's dimensions, so that any order that queries and keys share will do.

    Example: ``paired(heads=9, head_dim=64, device=torch.device("cpu"))``
    """
    half = head_dim // 2
    order = torch.arange(head_dim, device=device).view(2, half).T.reshape(-1)
    return (torch.arange(heads, device=device).unsqueeze(1) * head_dim + order).reshape(-1)

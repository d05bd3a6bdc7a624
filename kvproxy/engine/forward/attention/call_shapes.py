"""Shapes of an attention call: its permitted widths in query columns, and its K or V in the pool.

Few different widths, so that each can be measured, and is compiled once. All are multiples of the granule in which the
kernel's rows do not depend on each other.
"""

from __future__ import annotations

import torch

Positions = torch.Tensor | tuple[torch.Tensor, ...]
"""[kv_heads, S * L, D] in the pool's dtype: S stretches of L positions. Or parts of that, of one length, in their
order, none of them in two stretches: pages that are no neighbours."""


def parts_of(positions: Positions) -> tuple[torch.Tensor, ...]:
    """Return the parts of a call's K or V, [kv_heads, S * L / parts, D] each."""
    return (positions,) if isinstance(positions, torch.Tensor) else positions


def padded(columns: int, granule: int) -> int:
    """Return the permitted width of a block of so many columns."""
    step = max(granule, 4 if columns <= 16 else 16 if columns <= 128 else 64)
    return -(-columns // step) * step


def widths(granule: int, most: int) -> list[int]:
    """Return every width that a kernel is called with, up to ``most``, ascending."""
    return [w for w in range(granule, most + 1, granule) if _is_one(w)]


def split(columns: int, most: int) -> list[int]:
    """Return permitted widths that add up to ``columns``, any multiple of the granule.

    None is above ``most``, which is a permitted width itself.
    """
    blocks = [most] * (columns // most)
    rest = columns % most
    if rest and _is_one(rest):
        return [*blocks, rest]
    return blocks + [w for w in (rest // 64 * 64, rest % 64) if w]


def _is_one(width: int) -> bool:
    return width <= 64 or (width <= 128 and width % 16 == 0) or width % 64 == 0

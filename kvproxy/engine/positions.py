"""K or V of an attention call, where they stand in the pool."""

from __future__ import annotations

import torch

Positions = torch.Tensor | tuple[torch.Tensor, ...]
"""[kv_heads, S * L, D] in the pool's dtype: S stretches of L positions. Or parts of that, of one length, in their
order, none of them in two stretches: pages that are no neighbours."""


def parts_of(positions: Positions) -> tuple[torch.Tensor, ...]:
    """[kv_heads, S * L / parts, D] each."""
    return (positions,) if isinstance(positions, torch.Tensor) else positions

"""Modules whose weights stay quantised: in a transformers model, in the place of its linear layers and embedding.

The native kernels take the blocks; torch sees weights that are dequantised at each look.
"""

from __future__ import annotations

import torch
from torch import nn

from kvproxy.engine.quantised.quantised_tensor import QuantisedTensor


class QuantisedLinear(nn.Linear):
    """A linear layer of blocks. ``bias``: a float tensor, or None."""

    def __init__(self, blocks: QuantisedTensor, bias: torch.Tensor | None, dtype: torch.dtype) -> None:
        """Keep the blocks; ``weight`` and ``bias`` are seen in ``dtype``.

        Example: ``QuantisedLinear(tensor, None, torch.bfloat16)``
        """
        nn.Module.__init__(self)  # nn.Linear's would allocate a weight
        self.in_features, self.out_features = blocks.width, blocks.rows
        self.blocks = blocks
        self.seen_as = dtype
        own = None if bias is None else nn.Parameter(bias.to(dtype), requires_grad=False)
        self.register_parameter("bias", own)

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]  # a parameter in nn.Linear
        """The dequantised weights [out, in], made anew at each look."""
        return torch.from_numpy(self.blocks.dequantised()).to(self.seen_as)


class QuantisedEmbedding(nn.Module):
    """An embedding of blocks."""

    def __init__(self, blocks: QuantisedTensor, dtype: torch.dtype) -> None:
        """Keep the blocks; rows are seen in ``dtype``."""
        super().__init__()
        self.blocks = blocks
        self.seen_as = dtype

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows of ``ids``."""
        rows = self.blocks.reordered(ids.reshape(-1).numpy())
        return torch.from_numpy(rows.dequantised()).to(self.seen_as).reshape(*ids.shape, -1)

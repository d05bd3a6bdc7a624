"""Linear layers with weights laid out once for the kernel that multiplies tiles."""

from __future__ import annotations

import torch
from torch import nn


class PackedLinear(nn.Module):
    """oneDNN's prepacked bf16 matrix product: a 64-row tile as fast as a 1,024-row plain one.

    Replaces an ``nn.Linear`` in place; its plain weight is freed, so memory stays the same.
    """

    def __init__(self, linear: nn.Linear, rows: int) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), rows)
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [..., in_features] -> [..., out_features]."""
        y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return y


def can_pack(linear: nn.Linear) -> bool:
    weight = linear.weight
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def pack_linears(module: nn.Module, rows: int, *, skip: nn.Module | None = None) -> int:
    """Replace every linear layer below ``module`` that can be packed; returns how many were.

    ``skip`` is left alone: an output head tied to the embedding, whose plain weight must stay.
    """
    count = 0
    for name, child in list(module.named_children()):
        if child is skip:
            continue
        if type(child) is nn.Linear and can_pack(child):
            setattr(module, name, PackedLinear(child, rows))
            count += 1
        else:
            count += pack_linears(child, rows, skip=skip)
    return count

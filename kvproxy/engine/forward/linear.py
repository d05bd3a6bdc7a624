"""Linear layers with weights laid out once for the kernel that multiplies tiles."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class PackedLinear(nn.Module):
    """oneDNN's prepacked matrix product: a 64-row tile as fast as a 1,024-row plain one.

    Holds its own layout of the weight; the plain one can be freed, so memory stays the same. In float32 it is there for
    AMD's CPUs, on which it takes less than half of MKL's time. Rejected: huge pages below the weights (decode read them
    5 % faster on the 4B shape, and no faster on the 0.6B one).
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, rows: int) -> None:
        """Pack a weight.

        weight: [out_features, in_features]; bias: [out_features]; rows: the usual row count, a hint for the layout.

        Example: ``PackedLinear(linear.weight, linear.bias, rows=64)``
        """
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)
        self.bias = None if bias is None else bias.detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply x, [..., in_features] -> [..., out_features]."""
        y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return y


def can_pack(weight: torch.Tensor) -> bool:
    """Return whether oneDNN packs a weight of this device and dtype."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32


def fuse(linears: Sequence[nn.Linear], rows: int, order: torch.Tensor | None = None) -> nn.Module:
    """Fuse layers into one, with their outputs side by side: one matrix product instead of several.

    Packed where possible. The columns of a product are computed independently of each other. order: [out_features]
    int64, the input layers' column that becomes the output's i-th.

    Example: ``fuse([attention.q_proj, attention.k_proj, attention.v_proj], rows=64)``
    """
    weight = (
        torch.cat([x.weight.detach() for x in linears]) if len(linears) > 1 else linears[0].weight.detach()
    )
    biases = [x.bias for x in linears]
    bias: torch.Tensor | None = None
    if any(b is not None for b in biases):
        bias = torch.cat(
            [weight.new_zeros(x.out_features) if x.bias is None else x.bias.detach() for x in linears]
        )
    if order is not None:
        weight, bias = weight[order], None if bias is None else bias[order]
    if can_pack(weight):
        return PackedLinear(weight, bias, rows)
    plain = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    plain.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        plain.bias = nn.Parameter(bias, requires_grad=False)
    return plain


def pack_linears(module: nn.Module, rows: int) -> int:
    """Replace every linear layer below ``module`` that can be packed; return their number."""
    count = 0
    for name, child in list(module.named_children()):
        if type(child) is nn.Linear and can_pack(child.weight):
            setattr(module, name, PackedLinear(child.weight, child.bias, rows))
            count += 1
        else:
            count += pack_linears(child, rows)
    return count

from __future__ import annotations

import pytest
import torch
from torch import nn

from kvproxy.engine.forward.linear import PackedLinear, can_pack, fuse, pack_linears

BF16 = torch.bfloat16


def layers(dtype: torch.dtype, *biases: bool) -> list[nn.Linear]:
    torch.manual_seed(1)
    return [nn.Linear(48, 16 + 8 * i, bias=b).to(dtype).requires_grad_(False) for i, b in enumerate(biases)]


@pytest.mark.parametrize("dtype", [torch.float32, BF16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("biases", [(False,), (True,), (True, True, True), (True, False), (False, False)])
def test_fused_layers_give_their_outputs_side_by_side(dtype: torch.dtype, biases: tuple[bool, ...]) -> None:
    parts = layers(dtype, *biases)
    x = torch.randn(64, 48, generator=torch.Generator().manual_seed(2)).to(dtype)
    expected = torch.cat([p.float()(x.float()) for p in layers(dtype, *biases)], dim=-1)
    got = fuse(parts, 64)(x)
    assert got.dtype == dtype and got.shape == expected.shape
    tolerance = 1e-5 if dtype is torch.float32 else 2e-2
    assert torch.allclose(got.float(), expected, atol=tolerance, rtol=tolerance)


def test_other_dtypes_are_not_packed() -> None:
    assert not can_pack(torch.zeros(4, 4, dtype=torch.float64))
    assert not isinstance(fuse(layers(torch.float64, True), 64), PackedLinear)


@pytest.mark.parametrize("dtype", [torch.float32, BF16], ids=["float32", "bfloat16"])
def test_outputs_come_in_the_order_asked_for(dtype: torch.dtype) -> None:
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    x = torch.randn(16, 48, generator=torch.Generator().manual_seed(4)).to(dtype)
    plain, ordered = fuse(layers(dtype, True, False), 64), fuse(layers(dtype, True, False), 64, order)
    assert torch.allclose(ordered(x), plain(x)[:, order], atol=1e-5)


@pytest.mark.skipif(not can_pack(torch.zeros(4, 4, dtype=BF16)), reason="no packed bf16 products on this CPU")
def test_every_plain_linear_below_a_module_is_packed() -> None:
    module = nn.Sequential(*layers(BF16, True), nn.Sequential(*layers(BF16, False), nn.LayerNorm(16)))
    assert pack_linears(module, 64) == 2
    assert [type(m) for m in module.modules() if isinstance(m, nn.Linear)] == []
    packed = module[0]
    assert isinstance(packed, PackedLinear)
    assert (packed.in_features, packed.out_features) == (48, 16) and packed.bias is not None

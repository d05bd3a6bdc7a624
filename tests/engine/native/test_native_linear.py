from __future__ import annotations

import pytest
import torch
from torch import nn

from kvproxy.engine.native.kernel_library import Kernels, load_kernels
from kvproxy.engine.native.native_linear import NativeLinear
from kvproxy.engine.native.packed_matrix import PackedMatrix


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_a_row_has_its_bits_in_any_company(dtype: torch.dtype, bias: bool) -> None:
    kernels = load_kernels()
    assert isinstance(kernels, Kernels)
    torch.manual_seed(3)
    plain = nn.Linear(70, 45, bias=bias).to(dtype).requires_grad_(False)
    linear = NativeLinear(kernels, PackedMatrix.of(kernels, [plain]))
    assert (linear.in_features, linear.out_features) == (70, 45)
    x = torch.randn(33, 70).to(dtype)
    whole = linear(x)
    assert whole.dtype == dtype and whole.shape == (33, 45)
    assert torch.allclose(
        whole.double(), plain.double()(x.double()), atol=2e-2 if dtype != torch.float32 else 1e-5
    )
    assert all(torch.equal(linear(row), whole[i]) for i, row in enumerate(x))
    assert torch.equal(linear(x.view(3, 11, 70)), whole.view(3, 11, 45))
    assert linear(x[:0]).shape == (0, 45)

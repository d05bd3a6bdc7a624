from __future__ import annotations

import pytest
import torch

from kvproxy.engine.forward.rms_norm import RmsNorm


@pytest.mark.parametrize("size", [8, 48, 577])
def test_it_is_root_mean_square_norm(size: int) -> None:
    torch.manual_seed(1)
    x, weight = torch.randn(64, size), torch.rand(size) + 0.5
    out = torch.empty_like(x)
    RmsNorm(weight, 1e-5)(x, torch.empty(64, 1), out)
    assert torch.allclose(out, torch.nn.functional.rms_norm(x, (size,), weight, 1e-5), rtol=1e-5, atol=1e-6)


def test_a_weight_for_each_head_and_the_result_in_place() -> None:
    torch.manual_seed(2)
    x, weight = torch.randn(16, 3, 24), torch.rand(3, 24)
    expected = torch.nn.functional.rms_norm(x, (24,), None, 1e-6) * weight
    RmsNorm(weight, 1e-6)(x, torch.empty(16, 3, 1), x)
    assert torch.allclose(x, expected, rtol=1e-5, atol=1e-6)


def test_a_row_of_zeros_stays_one() -> None:
    out = torch.empty(2, 8)
    RmsNorm(torch.ones(8), 1e-6)(torch.zeros(2, 8), torch.empty(2, 1), out)
    assert not out.any()

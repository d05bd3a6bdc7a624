"""Packed weights and their product, with every instruction set of this machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from kvproxy.engine.native.decoder_abi import DTYPES
from kvproxy.engine.native.kernel_library import Kernels
from kvproxy.engine.native.packed_matrix import PackedMatrix
from kvproxy.engine.native.signatures import KernelCallError

InEachSet = Callable[[Callable[[], None]], None]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_product_of_parts_in_another_order(
    kernels: Kernels, in_each_set: InEachSet, dtype: torch.dtype
) -> None:
    torch.manual_seed(1)
    with_bias, without = nn.Linear(37, 70).to(dtype), nn.Linear(37, 10, bias=False).to(dtype)
    order = torch.cat([torch.randperm(80), torch.tensor([-1, 5])])
    x = torch.randn(13, 37).to(dtype).float()
    weights = torch.cat([with_bias.weight, without.weight, torch.zeros(1, 37)])[order].double()
    bias = torch.cat([with_bias.bias, torch.zeros(11)])[order].double()

    def check() -> None:
        packed = PackedMatrix.of(kernels, [with_bias, without], order)
        assert packed.size > 82 * 37 * torch.finfo(dtype).bits // 8
        y = torch.empty(13, 82)
        kernels.check(kernels.library.kvp_linear(packed.handle, x.data_ptr(), 2, 13, y.data_ptr(), 2))
        assert (y - (x.double() @ weights.T + bias)).abs().max() < 1e-5

    in_each_set(check)


def test_matrices_of_several_widths_are_refused(kernels: Kernels) -> None:
    with pytest.raises(ValueError, match="differ in dtype or width"):
        PackedMatrix.of(kernels, [nn.Linear(4, 4), nn.Linear(6, 4)])
    with pytest.raises(KernelCallError, match="column 0: there is no row 4 of 4"):
        PackedMatrix.of(kernels, [nn.Linear(4, 4)], torch.tensor([4]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, 1, 2, 3, 1, 1), "missing"),
        ((1, 9, 2, 3, 1, 1), "dtype 9"),
        ((1, 2, 0, 3, 1, 1), "0 rows"),
        ((1, 2, 2**17, 3, 1, 1), "131072 rows"),
        ((1, 2, 2, 3, 0, 1), "0 threads"),
        ((1, 2, 2, 3, 1, 2), "multiple of 4"),
    ],
)
def test_a_product_checks_its_arguments(
    kernels: Kernels, arguments: tuple[int | None, int, int, int, int, int], message: str
) -> None:
    packed = PackedMatrix.of(kernels, [nn.Linear(4, 3)])
    x, y = torch.zeros(3, 4), torch.zeros(3, 3)
    there, dtype, rows, _, threads, offset = arguments
    address = y.data_ptr() + (offset - 1) * 2
    with pytest.raises(KernelCallError, match=message):
        kernels.check(
            kernels.library.kvp_linear(there and packed.handle, x.data_ptr(), dtype, rows, address, threads)
        )

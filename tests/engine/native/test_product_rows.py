"""The native product: a row's bits depend on neither other rows, threads nor blocks, in every instruction set here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from kvproxy.engine.native.kernel_library import Kernels, load_kernels
from kvproxy.engine.native.native_linear import NativeLinear
from kvproxy.engine.native.packed_matrix import PackedMatrix

SHAPES = ((1, 1), (33, 7), (100, 65), (300, 330))  # columns, width: what divides no panel, pair, pass or tile
ROWS = 50
COUNTS = (*range(1, 15), 16, 17, 23, 24, 25, 31, 32, 33, 35, 36, 37, 40)


@pytest.fixture(params=["portable", "avx2", "avx512", "avx512bf16", "amx", "neon", "neonbf16"])
def kernels(request: pytest.FixtureRequest) -> Iterator[Kernels]:
    """Yield the library with one instruction set chosen, and the former one again afterwards."""
    found = load_kernels()
    if not isinstance(found, Kernels) or request.param not in found.available:
        pytest.skip("not built, or not in this processor")
    found.check(found.library.kvp_choose(request.param.encode()))
    yield found
    found.library.kvp_choose(found.instructions.encode())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(("columns", "width"), SHAPES)
def test_bits_do_not_depend_on_number_of_rows_or_threads(
    kernels: Kernels, columns: int, width: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(3)
    linear = nn.Linear(width, columns, dtype=dtype)
    native = NativeLinear(kernels, PackedMatrix.of(kernels, [linear]))
    x = torch.randn(ROWS, width)
    threads = torch.get_num_threads()
    whole = native.product(x)
    try:
        for count in COUNTS:
            torch.set_num_threads(1 + count % 4)
            first = 7 * count % (ROWS - count + 1)
            assert torch.equal(native.product(x[first : first + count]), whole[first : first + count]), count
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(("columns", "width"), SHAPES)
def test_sums_are_near_float64(kernels: Kernels, columns: int, width: int, dtype: torch.dtype) -> None:
    torch.manual_seed(4)
    linear = nn.Linear(width, columns, dtype=dtype)
    native = NativeLinear(kernels, PackedMatrix.of(kernels, [linear]))
    x = torch.randn(ROWS, width).bfloat16().float()  # what a product of bf16 pairs takes without rounding
    weight, bias = linear.weight.double(), linear.bias.double()
    size = x.double().abs() @ weight.T.abs() + bias.abs()
    assert ((native.product(x) - (x.double() @ weight.T + bias)).abs() <= 1e-6 * size).all()

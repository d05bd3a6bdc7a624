"""Products of quantised weights by the native kernels: near float64, and a row has the same bits beside any others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from kvproxy.engine.native.kernel_library import Kernels, load_kernels
from kvproxy.engine.native.native_linear import NativeLinear
from kvproxy.engine.native.packed_matrix import PackedMatrix
from kvproxy.engine.native.signatures import KernelCallError
from kvproxy.engine.quantised.quantised_modules import QuantisedEmbedding, QuantisedLinear
from kvproxy.engine.quantised.quantised_tensor import BlockKind, QuantisedTensor
from tests.engine.quantised.make_blocks import random_blocks


@pytest.fixture
def kernels() -> Kernels:
    found = load_kernels()
    assert isinstance(found, Kernels)
    return found


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def linear(tensor: QuantisedTensor, bias: torch.Tensor | None = None) -> QuantisedLinear:
    return QuantisedLinear(tensor, bias, torch.float32)


def as_bytes(x: torch.Tensor) -> torch.Tensor:
    """Rows as the product rounds them: signed bytes by groups of 32, in float64."""
    groups = x.reshape(x.shape[0], -1, 32)
    size = groups.abs().amax(-1, keepdim=True)
    q = torch.round(groups * torch.where(size > 0, 127 / size, 0.0))
    return (q.double() * (size * np.float32(1 / 127)).double()).reshape(x.shape)


@pytest.mark.parametrize("kind", BlockKind)
def test_a_product_is_that_of_float64(kind: BlockKind, kernels: Kernels) -> None:
    blocks, x = random_blocks(kind, 70, 768), torch.randn(13, 768)
    bias = torch.randn(70)
    y = NativeLinear(kernels, PackedMatrix.of(kernels, [linear(blocks, bias)])).product(x)
    weights = torch.from_numpy(blocks.dequantised()).double()
    exact = as_bytes(x) @ weights.T + bias
    size = x.double().abs() @ weights.abs().T
    assert ((y.double() - exact).abs() / size).max() < 2e-6
    assert (y.double() - (x.double() @ weights.T + bias)).abs().mean() < 0.01 * size.mean()


@pytest.mark.parametrize("kind", BlockKind)
def test_a_row_has_the_same_bits_beside_any_others(kind: BlockKind, kernels: Kernels, threads: None) -> None:
    blocks, x = random_blocks(kind, 100, 512), torch.randn(41, 512)
    product = NativeLinear(kernels, PackedMatrix.of(kernels, [linear(blocks)])).product
    alone = torch.cat([product(x[i : i + 1]) for i in range(41)])
    for rows in range(1, 41):
        torch.set_num_threads(rows % 4 + 1)
        first = rows * 7 % (42 - rows)
        assert torch.equal(product(x[first : first + rows]), alone[first : first + rows]), rows


def test_rows_of_several_kinds_stand_behind_one_product(kernels: Kernels) -> None:
    parts = [random_blocks(k, 64, 256, i) for i, k in enumerate((BlockKind.Q4_K, BlockKind.Q8_0, BlockKind.Q6_K))]
    x = torch.randn(3, 256)
    together = NativeLinear(kernels, PackedMatrix.of(kernels, [linear(p) for p in parts])).product(x)
    each = [NativeLinear(kernels, PackedMatrix.of(kernels, [linear(p)])).product(x) for p in parts]
    assert torch.equal(together, torch.cat(each, dim=1))


def test_an_order_permutes_columns_and_makes_zeros(kernels: Kernels) -> None:
    parts = [random_blocks(BlockKind.Q5_K, 32, 256, i) for i in range(2)]
    order = torch.tensor([63, -1, *range(40), 5])
    x = torch.randn(2, 256)
    plain = NativeLinear(kernels, PackedMatrix.of(kernels, [linear(p) for p in parts])).product(x)
    ordered = NativeLinear(kernels, PackedMatrix.of(kernels, [linear(p) for p in parts], order)).product(x)
    assert torch.equal(ordered[:, [0, *range(2, 43)]], plain[:, [63, *range(40), 5]])
    assert not ordered[:, 1].any()


def test_kinds_within_one_panel_are_refused(kernels: Kernels) -> None:
    parts = [linear(random_blocks(k, 16, 256)) for k in (BlockKind.Q4_K, BlockKind.Q6_K)]
    with pytest.raises(KernelCallError, match="kinds 12 and 14"):
        PackedMatrix.of(kernels, parts)
    with pytest.raises(ValueError, match="beside plain ones"):
        PackedMatrix.of(kernels, [parts[0], torch.nn.Linear(256, 16)])


def test_torch_sees_dequantised_weights() -> None:
    blocks, x = random_blocks(BlockKind.Q8_0, 8, 64), torch.randn(2, 64)
    plain = torch.from_numpy(blocks.dequantised())
    assert torch.equal(linear(blocks)(x), x @ plain.T)
    table = QuantisedEmbedding(blocks, torch.float32)
    assert torch.equal(table(torch.tensor([[7, 0]])), plain[[7, 0]][None])

"""Promises of page layouts to files and comparisons: row-major positions, to the bit, in any of them."""

from __future__ import annotations

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_layout import PageLayout, RowMajorLayout
from kvproxy.engine.native.kernel_library import Kernels, load_kernels
from kvproxy.engine.native.native_layout import NativeLayout

LAYERS, HEADS, PAGES, DIM = 3, 2, 4, 16
ELEMENTS = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}


@pytest.fixture(params=["row-major", "native"])
def layout(request: pytest.FixtureRequest) -> PageLayout:
    if request.param == "row-major":
        return RowMajorLayout()
    kernels = load_kernels()
    assert isinstance(kernels, Kernels)
    return NativeLayout(kernels)


@pytest.fixture(params=ELEMENTS, ids=str)
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    found = request.param
    assert isinstance(found, torch.dtype)
    return found


def empty_pool(dtype: torch.dtype) -> torch.Tensor:
    return torch.zeros(LAYERS, 2, HEADS, PAGES, PAGE_TOKENS, DIM, dtype=dtype)


def made(dtype: torch.dtype, positions: int, layers: int = LAYERS) -> torch.Tensor:
    """Rows of arbitrary bits, NaNs among them: a copy must not look at numbers."""
    bits, source = ELEMENTS[dtype], torch.Generator().manual_seed(positions)
    limits = torch.iinfo(bits)
    shape = (layers, 2, HEADS, positions, DIM)
    return torch.randint(limits.min, limits.max, shape, dtype=bits, generator=source).view(dtype)


def read(layout: PageLayout, kv: torch.Tensor, page: int, positions: int = PAGE_TOKENS) -> torch.Tensor:
    into = torch.empty(kv.shape[0], 2, HEADS, positions, DIM, dtype=kv.dtype)
    layout.read(kv, page, into)
    return into


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    bits = ELEMENTS[a.dtype]
    return torch.equal(a.contiguous().view(bits), b.contiguous().view(bits))


@pytest.mark.parametrize("positions", [1, 17, 130, PAGE_TOKENS])
def test_what_is_written_is_read_bit_by_bit(layout: PageLayout, dtype: torch.dtype, positions: int) -> None:
    kv, rows = empty_pool(dtype), made(dtype, positions)
    layout.write(kv, 2, rows)
    assert same(read(layout, kv, 2, positions), rows)
    assert not read(layout, kv, 2)[..., positions:, :].any()
    for other in (1, 3):
        assert not read(layout, kv, other).any()


def test_positions_behind_those_written_keep_their_numbers(layout: PageLayout, dtype: torch.dtype) -> None:
    kv, whole, front = empty_pool(dtype), made(dtype, PAGE_TOKENS), made(dtype, 100)
    layout.write(kv, 1, whole)
    layout.write(kv, 1, front)
    assert same(read(layout, kv, 1)[..., :100, :], front)
    assert same(read(layout, kv, 1)[..., 100:, :], whole[..., 100:, :])


def test_some_layers_are_written_alone(layout: PageLayout, dtype: torch.dtype) -> None:
    kv, rows = empty_pool(dtype), made(dtype, 40, layers=1)
    layout.write(kv[1:2], 3, rows)
    found = read(layout, kv, 3, 40)
    assert same(found[1:2], rows) and not found[0].any() and not found[2].any()


@pytest.mark.parametrize("positions", [1, 130, PAGE_TOKENS])
def test_a_prefix_is_copied_and_no_more(layout: PageLayout, dtype: torch.dtype, positions: int) -> None:
    kv, rows = empty_pool(dtype), made(dtype, PAGE_TOKENS)
    layout.write(kv, 1, rows)
    layout.copy_prefix(kv, 1, 3, positions)
    assert same(read(layout, kv, 3, positions), rows[..., :positions, :])
    assert not read(layout, kv, 3)[..., positions:, :].any()
    assert same(read(layout, kv, 1), rows) and not read(layout, kv, 2).any()


def test_row_major_is_the_order_of_the_tensor_itself(dtype: torch.dtype) -> None:
    kv, rows = empty_pool(dtype), made(dtype, 9)
    RowMajorLayout().write(kv, 2, rows)
    assert same(kv[:, :, :, 2, :9], rows)

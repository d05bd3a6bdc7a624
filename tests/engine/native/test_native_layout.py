"""Pages in the kernels' layout come out row-major, as files have them."""

from __future__ import annotations

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_pool import ALIGNMENT, PagePool, PageShape
from kvproxy.engine.native.kernel_library import Kernels, load_kernels
from kvproxy.engine.native.native_layout import NativeLayout
from kvproxy.engine.native.signatures import KernelCallError

DTYPES = [torch.bfloat16, torch.float16, torch.float32]


def make_pool(dtype: torch.dtype) -> PagePool:
    kernels = load_kernels()
    assert isinstance(kernels, Kernels)
    return PagePool(PageShape(2, 3, 48, dtype), 4, torch.device("cpu"), NativeLayout(kernels))


def random_rows(pool: PagePool, positions: int) -> torch.Tensor:
    s = pool.shape
    generator = torch.Generator().manual_seed(positions)
    return torch.randn(s.layers, 2, s.kv_heads, positions, s.head_dim, generator=generator).to(s.dtype)


def as_bytes(rows: torch.Tensor) -> bytes:
    return rows.contiguous().view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("positions", [1, 2, 15, 16, 17, 100, 255, 256])
def test_what_was_written_is_read_and_nothing_lies_behind(dtype: torch.dtype, positions: int) -> None:
    pool = make_pool(dtype)
    assert pool.kv.data_ptr() % ALIGNMENT == 0
    rows = random_rows(pool, positions)
    pool.write(2, as_bytes(rows), positions)
    assert torch.equal(pool.rows(2, positions), rows)
    assert not pool.rows(2)[..., positions:, :].any()
    assert pool.read(2, positions) == as_bytes(rows)
    buffer = bytearray(pool.shape.bytes)
    assert bytes(pool.read_into(2, buffer, positions)) == as_bytes(rows)
    assert not pool.rows(1).any() and not pool.rows(3).any()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("positions", [1, 31, 130, 256])
def test_a_prefix_is_copied_in_front_of_zeros(dtype: torch.dtype, positions: int) -> None:
    pool = make_pool(dtype)
    rows = random_rows(pool, PAGE_TOKENS)
    pool.write(1, as_bytes(rows))
    pool.copy_prefix(1, 3, positions)
    assert torch.equal(pool.rows(3, positions), rows[..., :positions, :])
    assert not pool.rows(3)[..., positions:, :].any()


def test_a_page_outside_of_the_pool_is_refused() -> None:
    pool = make_pool(torch.bfloat16)
    for page in (-1, 4, 2**31 - 1):
        with pytest.raises(KernelCallError):
            pool._layout.read(pool.kv, page, random_rows(pool, 7))

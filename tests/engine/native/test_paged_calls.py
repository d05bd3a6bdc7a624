"""Pages and attention through the C interface, with every instruction set of this machine; and what it refuses."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import pytest
import torch

from kvproxy.engine.native.decoder_abi import DTYPES, CPool
from kvproxy.engine.native.kernel_library import Kernels
from kvproxy.engine.native.signatures import KernelCallError, RowsOfPages

InEachSet = Callable[[Callable[[], None]], None]
LAYERS, HEADS, DIM, PAGES, GROUP = 2, 3, 48, 7, 2


class Places:
    """A small pool, and rows of one sequence whose pages are 3 and 5."""

    def __init__(self, dtype: torch.dtype, rows: int) -> None:
        self.kv = torch.zeros(LAYERS, 2, HEADS, PAGES, 256 * DIM, dtype=dtype)
        self.pool = CPool(self.kv.data_ptr(), self.kv.numel() * self.kv.element_size(), DTYPES[dtype], PAGES)
        self.tables = torch.tensor([3, 5], dtype=torch.int32)
        self.positions = torch.arange(rows, dtype=torch.int32)
        self.row_tables = torch.zeros(rows, dtype=torch.int32)
        arrays = (t.data_ptr() for t in (self.positions, self.row_tables, self.tables))
        self.rows = RowsOfPages(rows, 2, *arrays)
        self.sizes = (ctypes.byref(self.pool), LAYERS, HEADS, DIM)


@pytest.mark.parametrize("dtype", DTYPES)
def test_keys_and_values_are_written_attended_to_and_read(
    kernels: Kernels, in_each_set: InEachSet, dtype: torch.dtype
) -> None:
    torch.manual_seed(2)
    n = 300
    k, v, q = torch.randn(n, HEADS, DIM), torch.randn(n, HEADS, DIM), torch.randn(n, HEADS * GROUP, DIM) * 0.3
    wide = q.double().view(n, HEADS, GROUP, DIM)
    scores = torch.einsum("ihgd,jhd->hgij", wide, k.to(dtype).double()) * torch.log(torch.tensor(2.0))
    scores = scores.masked_fill(torch.triu(torch.ones(n, n, dtype=torch.bool), 1), -torch.inf)
    wanted = torch.einsum("hgij,jhd->ihgd", scores.softmax(-1), v.to(dtype).double()).reshape(q.shape)
    near = 1e-2 if dtype == torch.bfloat16 else 1e-5

    def check() -> None:
        at = Places(dtype, n)
        rows, library = ctypes.byref(at.rows), kernels.library
        kernels.check(library.kvp_write_kv(*at.sizes, 1, rows, k.data_ptr(), v.data_ptr(), 2))
        out = torch.empty_like(q)
        kernels.check(library.kvp_attend(*at.sizes, 1, rows, GROUP, q.data_ptr(), out.data_ptr(), 2))
        assert (out - wanted).abs().max() < near
        page = torch.empty(LAYERS, 2, HEADS, 256, DIM, dtype=dtype)
        kernels.check(library.kvp_page_read(*at.sizes, 3, 256, page.data_ptr()))
        assert torch.equal(page[1, 0], k[:256].transpose(0, 1).to(dtype))
        assert torch.equal(page[1, 1], v[:256].transpose(0, 1).to(dtype))
        assert not page[0].any()
        before = at.kv.clone()
        at.kv[:, :, :, 3] = 0
        kernels.check(library.kvp_page_write(*at.sizes, 3, 256, page.data_ptr()))
        assert torch.equal(at.kv, before)

    in_each_set(check)


def test_no_row_and_no_page_leads_out_of_the_pool(kernels: Kernels) -> None:
    at = Places(torch.bfloat16, 300)
    x = torch.zeros(300, HEADS * GROUP, DIM)

    def refused(message: str, *, layer: int = 1, sizes: tuple[int, int, int] = (LAYERS, HEADS, DIM)) -> None:
        pool, rows, library = ctypes.byref(at.pool), ctypes.byref(at.rows), kernels.library
        with pytest.raises(KernelCallError, match=message):
            kernels.check(library.kvp_write_kv(pool, *sizes, layer, rows, x.data_ptr(), x.data_ptr(), 1))
        with pytest.raises(KernelCallError, match=message):
            kernels.check(library.kvp_attend(pool, *sizes, layer, rows, GROUP, x.data_ptr(), x.data_ptr(), 1))

    for wrong in (0, -1, PAGES, 2**31 - 1):
        at.tables[1] = wrong
        refused("a page that the pool does not have")
    at.tables[1] = 5
    for position, message in ((-1, "negative"), (512, "behind the end"), (2**31 - 1, "behind the end")):
        at.positions[7] = position
        refused(message)
    at.positions[7] = 7
    at.row_tables[7] = -1
    refused("begins before")
    at.row_tables[7] = 0
    for layer in (-1, LAYERS, 2**31 - 1):
        refused("no layer", layer=layer)
    for sizes in ((2**31 - 1, HEADS, DIM), (LAYERS, 2**31 - 1, DIM), (LAYERS, HEADS, 64), (1, HEADS, DIM)):
        refused("bytes", sizes=sizes)
    for sizes in ((0, HEADS, DIM), (LAYERS, -1, DIM), (LAYERS, HEADS, 40), (LAYERS, HEADS, 272)):
        refused("a pool of", sizes=sizes)
    assert not at.kv.any()


@pytest.mark.parametrize(("page", "positions"), [(0, 1), (PAGES, 1), (-1, 1), (1, 0), (1, 257), (1, -1)])
def test_a_page_that_is_not_there_is_not_read(kernels: Kernels, page: int, positions: int) -> None:
    at, out = Places(torch.bfloat16, 1), torch.ones(LAYERS, 2, HEADS, 256, DIM)
    for call in (kernels.library.kvp_page_read, kernels.library.kvp_page_write):
        with pytest.raises(KernelCallError, match=f"no {positions} positions of page {page}"):
            kernels.check(call(*at.sizes, page, positions, out.data_ptr()))
    assert out.all() and not at.kv.any()

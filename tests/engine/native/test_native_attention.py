"""Paged attention of the kernels: near float64, and the same bits for a row in any tile, page, plan and team."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.native.decoder_abi import DTYPES, CPool
from kvproxy.engine.native.kernel_library import Kernels, load_kernels
from kvproxy.engine.native.signatures import KernelCallError, RowsOfPages

LENGTH = 700
PAGES = 14
SHAPES = ((64, 2, 3), (80, 1, 1), (96, 1, 7), (128, 2, 4), (256, 1, 1), (16, 1, 50))
"""Components of a head, key heads, and query heads that share one."""

TOLERANCE = {torch.bfloat16: 8e-3, torch.float16: 5e-5, torch.float32: 5e-5}
"""bf16: weights are rounded to it where the machine multiplies pairs of them."""

Row = tuple[int, Sequence[int]]
"""A position, and the page table of its sequence."""


def _kernels() -> Kernels:
    found = load_kernels()
    if not isinstance(found, Kernels):
        pytest.skip(found.reason)
    return found


@pytest.fixture(params=("avx512bf16", "avx512", "avx2", "neonbf16", "neon", "portable"))
def kernels(request: pytest.FixtureRequest) -> Iterator[Kernels]:
    """The kernels of one instruction set of this machine."""
    found = _kernels()
    if request.param not in found.available:
        pytest.skip(f"this machine has no {request.param}")
    before = found.library.kvp_chosen()
    found.check(found.library.kvp_choose(request.param.encode()))
    yield found
    found.check(found.library.kvp_choose(before))


class _Rig:
    """Random keys, values and queries of one sequence, in a pool whose last page holds NaN."""

    def __init__(self, kernels: Kernels, shape: tuple[int, int, int], dtype: torch.dtype) -> None:
        torch.manual_seed(3)
        self.kernels, self.dtype = kernels, dtype
        self.dim, self.kv_heads, self.group = shape
        self.kv = torch.zeros(1, 2, self.kv_heads, PAGES, PAGE_TOKENS, self.dim, dtype=dtype)
        self.kv[:, :, :, -1] = math.nan
        self.keys = torch.randn(LENGTH, self.kv_heads, self.dim) * 1.5
        self.values = torch.randn(LENGTH, self.kv_heads, self.dim)
        # Scores of up to some 50, by log2 e and the root of the components.
        self.queries = torch.randn(LENGTH, self.kv_heads * self.group, self.dim) * (8 / math.sqrt(self.dim))

    def _rows(self, rows: Sequence[Row]) -> tuple[RowsOfPages, list[torch.Tensor]]:
        tables: list[int] = []
        at: dict[tuple[int, ...], int] = {}
        for _, table in rows:
            if tuple(table) not in at:
                at[tuple(table)] = len(tables)
                tables += table
        columns = ([p for p, _ in rows], [at[tuple(t)] for _, t in rows], tables)
        arrays = [torch.tensor(x, dtype=torch.int32) for x in columns]
        return RowsOfPages(len(rows), len(tables), *(x.data_ptr() for x in arrays)), arrays

    def _pool(self) -> CPool:
        return CPool(self.kv.data_ptr(), self.kv.nbytes, DTYPES[self.dtype], PAGES)

    def write(self, table: Sequence[int], first: int = 0, end: int = LENGTH, threads: int = 2) -> None:
        """Write the sequence's positions [first, end) to the pages of ``table``."""
        where, kept = self._rows([(p, table) for p in range(first, end)])
        k, v = self.keys[first:end].contiguous(), self.values[first:end].contiguous()
        call = self.kernels.library.kvp_write_kv
        data = (k.data_ptr(), v.data_ptr(), threads)
        self.kernels.check(
            call(ctypes.byref(self._pool()), 1, self.kv_heads, self.dim, 0, ctypes.byref(where), *data)
        )
        del kept

    def attend(self, rows: Sequence[Row], threads: int = 1) -> torch.Tensor:
        """Attention of the sequence's rows at these positions."""
        where, kept = self._rows(rows)
        q = self.queries[[p for p, _ in rows]].contiguous()
        out = torch.full_like(q, -7)
        call = self.kernels.library.kvp_attend
        data = (self.group, q.data_ptr(), out.data_ptr(), threads)
        self.kernels.check(
            call(ctypes.byref(self._pool()), 1, self.kv_heads, self.dim, 0, ctypes.byref(where), *data)
        )
        del kept
        return out

    def exact(self, position: int) -> torch.Tensor:
        """The row at ``position`` in float64, from keys and values as they are kept."""
        k, v = (x[: position + 1].to(self.dtype).double() for x in (self.keys, self.values))
        q = self.queries[position].double().view(self.kv_heads, self.group, self.dim)
        weights = torch.softmax(torch.einsum("hgd,phd->hgp", q, k) * math.log(2), -1)
        return torch.einsum("hgp,phd->hgd", weights, v).reshape(-1, self.dim)


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_row_is_near_float64_and_its_bits_are_its_own(
    kernels: Kernels, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    rig = _Rig(kernels, shape, dtype)
    own, other = [5, 2, 9], [5, 2, 7]  # a second sequence that shares two pages
    rig.write(own)
    rig.write(other, first=512)
    used = (*range(0, 40, 3), 254, 255, 256, 257, 511, 512, 513, 600, 601, 602, 699)
    alone = {p: rig.attend([(p, own)]) for p in used}
    for position in used[-9:] + used[:3]:
        error = (alone[position][0].double() - rig.exact(position)).abs().max()
        assert error < TOLERANCE[dtype]
    tiles: list[list[Row]] = [
        [(p, own) for p in range(40)],
        [(p, own) for p in range(240, 270)],
        [(p, own) for p in range(500, 620)],
        [(p, own) for p in range(450, LENGTH)],
        [(699, own), (600, other), (699, other), (511, own), (3, other)],
        [(p, t) for p in (699, 602, 601) for t in (own, other)] + [(p, other) for p in range(495, 530)],
        [(p, own) for p in reversed(used)],
    ]
    for number, tile in enumerate(tiles):
        threads = 1 + number % 4
        out = rig.attend(tile, threads)
        for i, (position, _) in enumerate(tile):
            if position in alone:
                assert torch.equal(out[i], alone[position][0]), (number, position)


def test_pages_and_their_neighbours_do_not_matter(kernels: Kernels) -> None:
    rig = _Rig(kernels, (64, 2, 3), torch.bfloat16)
    rig.write([1, 2, 3])
    expected = rig.attend([(p, [1, 2, 3]) for p in range(LENGTH)], threads=2)
    rig.write([12, 4, 8], threads=3)
    rig.kv[:, :, :, 1:4] = math.nan
    assert torch.equal(rig.attend([(p, [12, 4, 8, 13]) for p in range(LENGTH)], threads=3), expected)


def test_keys_behind_the_row_may_hold_anything(kernels: Kernels) -> None:
    rig = _Rig(kernels, (64, 1, 3), torch.bfloat16)
    rig.kv[:, 0] = math.nan
    table = [6, 3, 1]
    rig.write(table, end=300)
    part = rig.attend([(p, table) for p in range(280, 300)])
    rig.write(table, first=300)
    assert torch.equal(rig.attend([(p, table) for p in range(280, 320)], threads=2)[:20], part)
    assert bool(part.isfinite().all())


@pytest.mark.parametrize(
    "row",
    [(-1, [1]), (256, [1]), (0, [0]), (0, [PAGES]), (0, [-3]), (2**31 - 1, [1, 2])],
    ids=str,
)
def test_no_table_leads_out_of_the_pool(row: Row) -> None:
    rig = _Rig(_kernels(), (64, 1, 3), torch.bfloat16)
    where, kept = rig._rows([row])
    call = rig.kernels.library.kvp_attend
    q = torch.zeros(3, 64)
    data = (3, q.data_ptr(), q.data_ptr(), 1)
    with pytest.raises(KernelCallError):
        rig.kernels.check(call(ctypes.byref(rig._pool()), 1, 1, 64, 0, ctypes.byref(where), *data))
    del kept

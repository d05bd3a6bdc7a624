from __future__ import annotations

import random

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.attention import Segment, attend, build_plan
from kvproxy.engine.kernels import KERNELS, Kernel
from kvproxy.engine.pool import SCRATCH

PAGES = 12
CPU = torch.device("cpu")


class Layer:
    """One layer's KV with random sequences in it, and what each row's attention should be."""

    def __init__(self, dtype: torch.dtype, kv_heads: int, group: int, dim: int, seed: int = 1) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.dtype, self.kv_heads, self.group, self.dim = dtype, kv_heads, group, dim
        self.kv = torch.zeros(2, PAGES, kv_heads, PAGE_TOKENS, dim, dtype=dtype)

    def normal(self, *size: int) -> torch.Tensor:
        return torch.randn(*size, generator=self.generator).to(self.dtype)

    def fill(self, pages: list[int], keys: torch.Tensor, values: torch.Tensor) -> None:
        """keys, values: [positions, kv_heads, dim]"""
        for at in range(keys.shape[0]):
            page, offset = pages[at // PAGE_TOKENS], at % PAGE_TOKENS
            self.kv[0, page, :, offset] = keys[at]
            self.kv[1, page, :, offset] = values[at]

    def run(
        self,
        segments: list[Segment],
        tile: int,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        kernel: Kernel,
        granule: int = 4,
    ) -> torch.Tensor:
        plan = build_plan(segments, tile, self.group, granule, self.dtype, CPU)
        return attend(plan, self.kv, q, k, v, self.dim**-0.5, kernel)

    def reference(self, q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Plain softmax attention in float64. q: [heads, dim]; keys, values: [positions, kv_heads, dim]."""
        out = []
        for head in range(q.shape[0]):
            of = head // self.group
            scores = keys[:, of].double() @ q[head].double() * self.dim**-0.5
            out.append(torch.softmax(scores, 0) @ values[:, of].double())
        return torch.stack(out)


SHAPES = [(2, 3, 8), (5, 1, 24), (1, 4, 64)]


@pytest.mark.parametrize("kernel", sorted(KERNELS))
@pytest.mark.parametrize(("kv_heads", "group", "dim"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_it_is_attention(kernel: str, kv_heads: int, group: int, dim: int, dtype: torch.dtype) -> None:
    """A prompt row block, a block at a page border and two decode rows, against the formula."""
    layer = Layer(dtype, kv_heads, group, dim)
    pages = [[3, 4, 9], [7], [1, 2], [3, 8]]
    starts, counts = [600, 0, 256, 300], [20, 7, 1, 1]
    past = [(layer.normal(s, kv_heads, dim), layer.normal(s, kv_heads, dim)) if s else None for s in starts]
    # The last sequence shares its first page with the first one.
    first, last = past[0], past[3]
    assert first is not None and last is not None
    for new, old in zip(last, first, strict=True):
        new[:PAGE_TOKENS] = old[:PAGE_TOKENS]
    for p, mine in zip(past, pages, strict=True):
        if p is not None:
            layer.fill(mine, *p)
    tile = 32
    q, k, v = (layer.normal(tile, n, dim) for n in (kv_heads * group, kv_heads, kv_heads))
    segments, row = [], 0
    for start, count, mine in zip(starts, counts, pages, strict=True):
        segments.append(Segment(row, start, count, mine))
        row += count
    out = layer.run(segments, tile, q, k, v, KERNELS[kernel])
    assert out.shape == q.shape and out.dtype == dtype
    for segment, p in zip(segments, past, strict=True):
        rows = slice(segment.row, segment.row + segment.count)
        keys, values = (
            (k[rows], v[rows]) if p is None else (torch.cat((p[0], k[rows])), torch.cat((p[1], v[rows])))
        )
        for i in range(segment.count):
            seen = segment.start + i + 1
            expected = layer.reference(q[segment.row + i], keys[:seen], values[:seen])
            tolerance = 2e-5 if dtype is torch.float32 else 2e-2
            assert torch.allclose(out[segment.row + i].double(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_no_bit_depends_on_company_or_place(dtype: torch.dtype) -> None:
    """One block of rows, alone and among strangers, in tiles of any size, with other pages around."""
    layer = Layer(dtype, 2, 3, 8)
    mine, source = [5, 6, 10], random.Random(2)
    layer.fill(mine, layer.normal(530, 2, 8), layer.normal(530, 2, 8))
    for page in (1, 2, 3, 4):
        layer.kv[:, page] = layer.normal(2, 2, PAGE_TOKENS, 8)
    q, k, v = layer.normal(9, 6, 8), layer.normal(9, 2, 8), layer.normal(9, 2, 8)
    before = layer.kv.clone()
    kernel = KERNELS["flash-cpu"]

    def placed(row: int, tile: int, others: list[Segment]) -> torch.Tensor:
        layer.kv.copy_(before)
        tq, tk, tv = layer.normal(tile, 6, 8), layer.normal(tile, 2, 8), layer.normal(tile, 2, 8)
        tq[row : row + 9], tk[row : row + 9], tv[row : row + 9] = q, k, v
        segments = sorted([*others, Segment(row, 530, 9, mine)], key=lambda s: s.row)
        return layer.run(segments, tile, tq, tk, tv, kernel)[row : row + 9]

    alone = placed(0, 16, [])
    for _ in range(12):
        tile = source.choice([32, 64, 128])
        row = source.randrange(4, tile - 20)
        others = [
            Segment(0, source.choice([0, 3, 250, 255, 300, 511]), 1, [1, 2]),
            Segment(1, 511, 1, [5, 3]),
            Segment(row + 9, 520, source.randrange(1, 9), [5, 6, 4]),
        ]
        assert torch.equal(placed(row, tile, others), alone)


def test_each_row_split_gives_the_same_bits() -> None:
    layer = Layer(torch.bfloat16, 2, 3, 8)
    q, k, v = layer.normal(64, 6, 8), layer.normal(64, 2, 8), layer.normal(64, 2, 8)
    layer.fill([1, 2], layer.normal(290, 2, 8), layer.normal(290, 2, 8))
    kernel, before = KERNELS["flash-cpu"], layer.kv.clone()
    whole = layer.run([Segment(0, 290, 64, [1, 2])], 64, q, k, v, kernel)
    for cut in (1, 2, 15, 31, 32, 50, 63):
        layer.kv.copy_(before)
        parts = []
        for start, stop in ((0, cut), (cut, 64)):
            tq, tk, tv = (torch.zeros(64, *x.shape[1:], dtype=x.dtype) for x in (q, k, v))
            for target, x in ((tq, q), (tk, k), (tv, v)):
                target[: stop - start] = x[start:stop]
            segment = Segment(0, 290 + start, stop - start, [1, 2])
            parts.append(layer.run([segment], 64, tq, tk, tv, kernel)[: stop - start])
        assert torch.equal(torch.cat(parts), whole), cut


def test_padding_rows_write_to_the_scratch_page_only() -> None:
    layer = Layer(torch.float32, 1, 1, 8)
    q, k, v = (layer.normal(16, 1, 8) for _ in range(3))
    layer.run([Segment(3, 10, 2, [4])], 16, q, k, v, KERNELS["flash-cpu"])
    written = {p for p in range(PAGES) if layer.kv[:, p].any()}
    assert written == {SCRATCH, 4}
    assert torch.equal(layer.kv[0, 4, 0, 10:12], k[3:5, 0])
    assert not layer.kv[:, 4, :, 12:].any() and not layer.kv[:, 4, :, :10].any()


def test_a_segment_stays_inside_one_page() -> None:
    with pytest.raises(AssertionError, match="inside one page"):
        build_plan([Segment(0, 250, 10, [1, 2])], 16, 1, 4, torch.float32, CPU)


def test_consecutive_pages_of_the_same_readers_are_one_call() -> None:
    def calls(pages: list[int]) -> int:
        segments = [Segment(0, 4 * PAGE_TOKENS, 8, pages)]
        return len(build_plan(segments, 16, 1, 4, torch.float32, CPU).past)

    assert calls([1, 2, 3, 4, 9]) == 1
    assert calls([1, 2, 6, 7, 9]) == 2
    assert calls([4, 3, 2, 1, 9]) == 4


def test_readers_of_one_page_share_its_call() -> None:
    segments = [Segment(i, 300 + i, 1, [1, 2 + i]) for i in range(5)]
    plan = build_plan(segments, 16, 1, 4, torch.float32, CPU)
    assert len(plan.past) == 1 and plan.past[0].width == 20
    assert len(plan.own) == 1 and plan.own[0].batch == 5

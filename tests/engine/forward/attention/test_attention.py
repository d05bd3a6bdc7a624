from __future__ import annotations

import random

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.attention.attention import Attention
from kvproxy.engine.forward.attention.call_plan import SPAN_TOKENS, Segment, build_plan
from kvproxy.engine.forward.attention.kernels import KERNELS, SCORES, open_kernel, pick_kernel

PAGES = 32
CPU = torch.device("cpu")
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
HERE = pick_kernel(CPU)


class Layer:
    """One layer's KV with random sequences in it, and the expected attention of each row."""

    def __init__(
        self, dtype: torch.dtype, kv_heads: int, group: int, dim: int, kernel: str = HERE, seed: int = 1
    ) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.dtype, self.kv_heads, self.group, self.dim = dtype, kv_heads, group, dim
        self.pool = torch.zeros(1, 2, kv_heads, PAGES, PAGE_TOKENS, dim, dtype=dtype)
        self.kv = self.pool[0]
        self.attention = Attention(
            open_kernel(kernel, kv_heads=kv_heads, head_dim=dim, dtype=dtype),
            kv_heads=kv_heads,
            group=group,
            head_dim=dim,
            dtype=dtype,
            device=CPU,
        )

    def normal(self, *size: int) -> torch.Tensor:
        return torch.randn(*size, generator=self.generator).to(self.dtype)

    def rows(self, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return random q [count, heads, dim], k and v [count, kv_heads, dim]."""
        q = self.normal(count, self.kv_heads * self.group, self.dim)
        k = self.normal(count, self.kv_heads, self.dim)
        return q, k, self.normal(count, self.kv_heads, self.dim)

    def fill(self, pages: list[int], keys: torch.Tensor, values: torch.Tensor) -> None:
        """Fill pages with keys and values, [positions, kv_heads, dim]."""
        for first in range(0, keys.shape[0], PAGE_TOKENS):
            page, count = pages[first // PAGE_TOKENS], min(PAGE_TOKENS, keys.shape[0] - first)
            self.kv[0, :, page, :count] = keys[first : first + count].transpose(0, 1)
            self.kv[1, :, page, :count] = values[first : first + count].transpose(0, 1)

    def run(
        self,
        segments: list[Segment],
        tile: int,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        granule: int = 4,
    ) -> torch.Tensor:
        plan = build_plan(segments, tile, self.group, granule, CPU)
        self.attention.fold(q, self.dim**-0.5)
        (kv,) = self.attention.layers(self.pool)
        self.attention.write(plan, kv, k, v)
        return self.attention.attend(plan, kv, tile).view(q.shape).clone()

    def reference(self, q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Plain softmax attention in float64. q: [heads, dim]; keys, values: [positions, kv_heads, dim]."""
        out = []
        for head in range(q.shape[0]):
            of = head // self.group
            scores = keys[:, of].double() @ q[head].double() * self.dim**-0.5
            out.append(torch.softmax(scores, 0) @ values[:, of].double())
        return torch.stack(out)


SHAPES = [(2, 3, 8), (5, 1, 24), (1, 4, 64)]


@pytest.mark.parametrize("kernel", (SCORES, *KERNELS))
@pytest.mark.parametrize(("kv_heads", "group", "dim"), SHAPES)
@DTYPES
def test_it_is_attention(kernel: str, kv_heads: int, group: int, dim: int, dtype: torch.dtype) -> None:
    """A prompt row block behind a span, one over the border of a block, and decode rows, against the formula."""
    if kernel not in (HERE, "flash-cpu", "math"):
        pytest.skip("not for this CPU")
    layer = Layer(dtype, kv_heads, group, dim, kernel)
    pages = [[3, 4, 5, 6, 9], [7], [1, 2], [3, 4, 5, 6, 8], [10]]
    starts, counts = [1124, 0, 256, 1030, 100], [20, 7, 1, 1, 32]
    past = [(layer.normal(s, kv_heads, dim), layer.normal(s, kv_heads, dim)) for s in starts]
    # The fourth sequence shares its first span with the first one.
    for new, old in zip(past[3], past[0], strict=True):
        new[:SPAN_TOKENS] = old[:SPAN_TOKENS]
    for p, mine in zip(past, pages, strict=True):
        layer.fill(mine, *p)
    tile = 64
    q, k, v = layer.rows(tile)
    segments, row = [], 0
    for start, count, mine in zip(starts, counts, pages, strict=True):
        segments.append(Segment(row, start, count, mine))
        row += count
    out = layer.run(segments, tile, q, k, v)
    assert out.shape == q.shape and out.dtype == dtype
    for segment, p in zip(segments, past, strict=True):
        rows = slice(segment.row, segment.row + segment.count)
        keys, values = torch.cat((p[0], k[rows])), torch.cat((p[1], v[rows]))
        for i in range(segment.count):
            seen = segment.start + i + 1
            expected = layer.reference(q[segment.row + i], keys[:seen], values[:seen])
            tolerance = 2e-5 if dtype is torch.float32 else 2e-2
            assert torch.allclose(out[segment.row + i].double(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("kv_heads", "group", "dim"), [(2, 3, 8), (5, 1, 24), (3, 3, 64)])
@DTYPES
def test_no_bit_depends_on_company_or_place(kv_heads: int, group: int, dim: int, dtype: torch.dtype) -> None:
    """Blocks of rows, alone, among other sequences and among readers of the same pages, in tiles of any size."""
    layer, source = Layer(dtype, kv_heads, group, dim), random.Random(2)
    layer.kv.copy_(layer.normal(*layer.kv.shape))
    shared, own = [4, 5, 6, 7], [8, 9, 10, 12, 14]
    before = layer.kv.clone()

    def stranger(row: int, room: int) -> Segment:
        start = source.choice([0, 3, 100, 250, 511, 700, 1024, 1027, 1500])
        count = min(source.choice([1, 1, 1, 9, 40]), room, PAGE_TOKENS - start % PAGE_TOKENS)
        first = shared if start >= SPAN_TOKENS else [16, 17, 18, 19]
        return Segment(row, start, count, first + source.sample(range(20, 24), 2))

    def placed(mine: Segment, tile: int, rows: tuple[torch.Tensor, ...], company: bool) -> torch.Tensor:
        layer.kv.copy_(before)
        place = slice(mine.row, mine.row + mine.count)
        filled = layer.rows(tile)
        for target, x in zip(filled, rows, strict=True):
            target[place] = x
        segments, row = [], 0
        while row < tile:
            if row == mine.row:
                segments.append(mine)
            elif company and source.random() < 0.8:
                segments.append(stranger(row, (mine.row if row < mine.row else tile) - row))
            row += segments[-1].count if segments and segments[-1].row == row else 1
        return layer.run(segments, tile, *filled)[place]

    for start in (0, 100, 127, 255, 1000, 1024, 1130, 2047, 2100):
        count = source.randrange(1, min(40, PAGE_TOKENS - start % PAGE_TOKENS) + 1)
        rows = layer.rows(count)
        pages = shared + own
        alone = placed(Segment(0, start, count, pages), 64, rows, company=False)
        for tile in (16, 32, 64, 128):
            if tile >= count:
                at = source.choice([0, 1, tile - count, source.randrange(tile - count + 1)])
                mine = Segment(min(at, tile - count), start, count, pages)
                assert torch.equal(placed(mine, tile, rows, company=True), alone), (start, count, tile)


@DTYPES
def test_spans_in_one_call_or_apart_give_the_same_bits(dtype: torch.dtype) -> None:
    """A decode row far behind: up to four spans are one call, where their pages are neighbours."""
    layer = Layer(dtype, 2, 3, 8)
    keys, values = layer.normal(5 * SPAN_TOKENS + 300, 2, 8), layer.normal(5 * SPAN_TOKENS + 300, 2, 8)
    rows = layer.rows(64)
    start = 5 * SPAN_TOKENS + 256 + 44
    results = []
    for first, count in (
        (list(range(1, 23)), 1),
        ([20, 19, 18, 17, *range(1, 9), 12, 11, 10, 9, *range(21, 27)], 1),
        (list(range(1, 23)), 40),
    ):
        layer.pool.zero_()
        layer.fill(first, keys, values)
        results.append(layer.run([Segment(0, start, count, first)], 64, *rows)[0])
    assert all(torch.equal(r, results[0]) for r in results)


def test_each_row_split_gives_the_same_bits() -> None:
    layer = Layer(torch.bfloat16, 2, 3, 8)
    q, k, v = layer.rows(64)
    pages = [1, 2, 3, 4, 5]
    layer.fill(pages, layer.normal(1122, 2, 8), layer.normal(1122, 2, 8))
    before = layer.kv.clone()
    whole = layer.run([Segment(0, 1122, 64, pages)], 64, q, k, v)
    for cut in (1, 2, 15, 30, 31, 32, 50, 63):
        layer.kv.copy_(before)
        parts = []
        for start, stop in ((0, cut), (cut, 64)):
            tq, tk, tv = (torch.zeros(64, *x.shape[1:], dtype=x.dtype) for x in (q, k, v))
            for target, x in ((tq, q), (tk, k), (tv, v)):
                target[: stop - start] = x[start:stop]
            segment = Segment(0, 1122 + start, stop - start, pages)
            parts.append(layer.run([segment], 64, tq, tk, tv)[: stop - start])
        assert torch.equal(torch.cat(parts), whole), cut


@DTYPES
def test_pages_that_are_no_neighbours_give_the_same_bits(dtype: torch.dtype) -> None:
    layer = Layer(dtype, 2, 3, 8)
    keys, values = layer.normal(1300, 2, 8), layer.normal(1300, 2, 8)
    rows = layer.rows(16)
    results = []
    for pages in ([1, 2, 3, 4, 5, 6], [3, 2, 1, 7, 20, 9], [8, 9, 10, 11, 13, 12]):
        layer.kv.zero_()
        layer.fill(pages, keys, values)
        results.append(layer.run([Segment(0, 1300, 9, pages)], 16, *rows)[:9])
    assert all(torch.equal(r, results[0]) for r in results)


@DTYPES
def test_what_stands_behind_the_last_position_plays_no_part(dtype: torch.dtype) -> None:
    """Unwritten positions of the same block, and any content of the pages behind it, change nothing."""
    layer = Layer(dtype, 2, 3, 8)
    keys, values = layer.normal(300, 2, 8), layer.normal(300, 2, 8)
    layer.fill([1, 2], keys, values)
    rows, before = layer.rows(16), layer.kv.clone()
    expected = layer.run([Segment(0, 300, 4, [1, 2])], 16, *rows)[:4]
    layer.kv.copy_(before)
    layer.kv[:, :, 2, 304 - PAGE_TOKENS :] = layer.normal(2, 2, 2 * PAGE_TOKENS - 304, 8) * 50
    layer.kv[:, :, 2, 384 - PAGE_TOKENS :] = float("nan")
    layer.kv[:, :, 3:] = float("nan")
    assert torch.equal(layer.run([Segment(0, 300, 4, [1, 2])], 16, *rows)[:4], expected)


@pytest.mark.parametrize("segments", [1, 7])
def test_padding_rows_write_nothing(segments: int) -> None:
    layer = Layer(torch.float32, 1, 1, 8)
    q, k, v = layer.rows(16)
    parts = [Segment(3 + i, 10 + i, 1, [4]) for i in range(segments)]
    layer.run(parts, 16, q, k, v)
    written = {p for p in range(PAGES) if layer.kv[:, :, p].any()}
    assert written == {4}
    assert torch.equal(layer.kv[0, 0, 4, 10 : 10 + segments], k[3 : 3 + segments, 0])
    assert torch.equal(layer.kv[1, 0, 4, 10 : 10 + segments], v[3 : 3 + segments, 0])
    assert not layer.kv[:, :, 4, 10 + segments :].any() and not layer.kv[:, :, 4, :10].any()


def test_tiles_that_take_turns_do_not_meet() -> None:
    """Two plans, layer by layer in turns, as when a tile rests: each finds its own result."""
    layer = Layer(torch.bfloat16, 2, 3, 8)
    layer.kv.copy_(layer.normal(*layer.kv.shape))
    tiles = [(Segment(0, 1100, 40, [1, 2, 3, 4, 5]), 64), (Segment(0, 20, 3, [7]), 16)]
    plans = [build_plan([s], tile, 3, 4, CPU) for s, tile in tiles]
    rows = [layer.rows(tile) for _, tile in tiles]
    results: list[list[torch.Tensor]] = [[], []]
    for turn in (0, 1, 1, 0, 1, 0, 0):
        (_, tile), plan = tiles[turn], plans[turn]
        (kv,) = layer.attention.layers(layer.pool)
        layer.attention.fold(rows[turn][0], 1.0)
        layer.attention.write(plan, kv, *rows[turn][1:])
        results[turn].append(layer.attention.attend(plan, kv, tile)[: plan.rows].clone())
    for found in results:
        assert all(torch.equal(x, found[0]) for x in found)

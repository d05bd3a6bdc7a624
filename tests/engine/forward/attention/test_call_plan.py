from __future__ import annotations

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.attention.call_plan import (
    BLOCK_TOKENS,
    SPAN_PAGES,
    SPAN_TOKENS,
    AttentionCall,
    Segment,
    TilePlan,
    build_plan,
)

CPU = torch.device("cpu")


def plan(*segments: Segment, tile: int = 64, group: int = 3, granule: int = 4) -> TilePlan:
    return build_plan(segments, tile, group, granule, CPU)


def spans(p: TilePlan) -> list[AttentionCall]:
    return [c for c in p.calls if c.slot]


def test_a_segment_stays_inside_one_page_and_its_tile() -> None:
    with pytest.raises(AssertionError, match="inside one page"):
        plan(Segment(0, 250, 10, [1, 2]))
    with pytest.raises(AssertionError, match="inside its tile"):
        plan(Segment(60, 0, 5, [1]))


@pytest.mark.parametrize("position", [0, 1, 127, 128, 255, 256, 1000, 1023, 1024, 1151, 3774])
def test_a_rows_calls_follow_from_its_position(position: int) -> None:
    pages = list(range(1, 20))
    alone = plan(Segment(0, position, 1, pages), tile=16)
    first = position // BLOCK_TOKENS * BLOCK_TOKENS
    block = plan(Segment(0, first, BLOCK_TOKENS, pages), tile=256)
    page, (depth, rest) = position // PAGE_TOKENS, divmod(position // PAGE_TOKENS, SPAN_PAGES)
    for p in (alone, block):
        own, *earlier = p.calls
        assert own.length == position % PAGE_TOKENS // BLOCK_TOKENS * BLOCK_TOKENS + BLOCK_TOKENS
        assert own.pages == 1 + page
        if rest:
            call = earlier.pop(0)
            assert (call.slot, call.pages, call.length) == (1, 1 + page - rest, rest * PAGE_TOKENS)
        assert all(c.length == SPAN_TOKENS for c in earlier)
        slots = [c.slot + i for c in earlier for i in range(c.spans)]
        assert slots == [bool(rest) + i for i in range(1, 1 + depth)]
        assert (p.slots, p.gaps) == (1 + bool(rest) + depth, [])
    assert alone.calls[0].mask is not None
    assert (alone.calls[0].mask[0] == 0).sum() == position % BLOCK_TOKENS + 1


def test_a_segment_is_cut_where_its_block_ends() -> None:
    p = plan(Segment(0, 100, 60, [1]), group=1)
    assert [(c.length, c.columns) for c in p.calls] == [(128, slice(0, 32)), (256, slice(32, 64))]
    assert p.gather is not None and p.scatter is not None
    assert p.gather[p.scatter].tolist() == list(range(60))
    assert p.gather[28:32].tolist() == [28, 29, 30, 31], "padding repeats whatever rows follow"


def test_padding_reaches_past_no_tile() -> None:
    p = plan(Segment(0, 100, 32, [1]), tile=32)
    assert p.gather is not None and int(p.gather.max()) < 32 * 3
    one = plan(Segment(0, 7, 1, [1]), tile=1, group=1)
    assert one.gather is None and one.columns == 4, "what follows the tile's queries is free"


def test_a_whole_tile_is_neither_gathered_nor_scattered() -> None:
    p = plan(Segment(0, 256, 256, [1, 2]), tile=256)
    assert p.gather is None and p.scatter is None
    assert [c.width for c in p.calls] == [384, 384, 768] and p.columns == 768


@pytest.mark.parametrize("pages", [[1, 2, 3, 4, 9], [4, 3, 2, 1, 9]])
def test_neighbouring_pages_are_read_where_they_are(pages: list[int]) -> None:
    call = spans(plan(Segment(0, SPAN_TOKENS, 8, pages)))[0]
    if pages[0] == 1:
        assert call.pages == 1
    else:
        assert call.pages == tuple(pages[:4])


def test_readers_of_one_span_share_its_call() -> None:
    shared = [1, 2, 3, 4]
    together = plan(*(Segment(i, 1030 + i, 1, [*shared, 5 + i]) for i in range(5)))
    (call,) = spans(together)
    assert call.columns == slice(0, 20) and call.width == 20
    apart = plan(
        Segment(0, 1030, 1, [*shared, 5]),
        Segment(1, 1030, 1, [6, 7, 8, 9, 10]),
        Segment(2, 1030, 1, [*shared, 11]),
    )
    first, second = spans(apart)
    assert isinstance(first.columns, torch.Tensor)
    assert first.columns.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert second.columns == slice(4, 8)
    assert (apart.slots, apart.gaps) == (2, [])


def test_few_columns_see_several_spans_in_one_call() -> None:
    def spans_of(count: int, pages: list[int]) -> list[tuple[int, int]]:
        return [(c.slot, c.spans) for c in spans(plan(Segment(0, 5 * SPAN_TOKENS, count, pages)))]

    row = list(range(1, 22))
    assert spans_of(1, row) == [(1, 4), (5, 1)]
    assert spans_of(40, row) == [(i, 1) for i in range(1, 6)]
    assert spans_of(1, [*row[:4], *row[5:], 30]) == [(1, 1), (2, 4)]
    assert spans_of(1, [3, 2, 1, 4, *range(5, 22)]) == [(1, 1), (2, 4)]


def test_decode_rows_see_their_own_pages_in_one_call() -> None:
    p = plan(*(Segment(i, 300 + i, 1, [1, 5 + 2 * i]) for i in range(5)), Segment(5, 300, 30, [1, 20]))
    first, *others = (c for c in p.calls if c.slot == 0)
    assert (first.apart, first.spans, first.columns, first.length) == (True, 5, slice(0, 20), 128)
    assert first.pages == (5, 7, 9, 11, 13)
    assert first.mask is not None and first.mask.shape == (20, BLOCK_TOKENS)
    assert [int((first.mask[4 * i] == 0).sum()) for i in range(5)] == [45 + i for i in range(5)]
    (prompt,) = others
    assert (prompt.apart, prompt.pages, prompt.columns) == (False, 20, slice(20, 116))
    (shared,) = spans(p)
    assert (shared.columns, shared.pages, shared.length) == (slice(0, 116), 1, PAGE_TOKENS)


def test_slots_that_some_have_and_others_do_not() -> None:
    deep, shallow, middle = list(range(1, 12)), [12], [13, 14]
    p = plan(Segment(0, 2400, 1, deep), Segment(1, 40, 1, shallow), Segment(2, 300, 1, middle))
    assert (p.slots, p.gaps) == (4, [1, 2, 3])
    assert [(c.slot, c.spans, c.length) for c in spans(p)] == [(1, 1, 256), (1, 1, 256), (2, 2, 1024)]


def test_many_segments_are_written_in_one_copy() -> None:
    few = plan(*(Segment(i, 300 + i, 1, [1, 2 + i]) for i in range(3)))
    assert few.indexed is None
    assert [(w.row, w.count, w.to) for w in few.writes] == [
        (i, 1, (2 + i) * PAGE_TOKENS + 300 + i - PAGE_TOKENS) for i in range(3)
    ]
    many = plan(*(Segment(i, 300 + i, 1, [1, 2 + i]) for i in range(9)))
    assert many.indexed is not None and not many.writes
    assert many.indexed[0].tolist() == list(range(9))

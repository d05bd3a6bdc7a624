from __future__ import annotations

import numpy as np

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_pool import SCRATCH
from kvproxy.engine.forward.cuda.tile_layout import BLOCK, SPAN, SPLIT_ROWS, PagedTile, pack
from kvproxy.engine.tiling.segment import Segment

GROUP = 4
HEIGHT = BLOCK // GROUP


def place(tile: PagedTile, row: int) -> tuple[int, int]:
    """(page, offset) that this row's K and V go to."""
    rows, ints = tile.shape.rows, tile.ints
    position, table = int(ints[rows + row]), int(ints[2 * rows + row])
    return int(ints[tile.shape.header + table + position // PAGE_TOKENS]), position % PAGE_TOKENS


def blocks(tile: PagedTile) -> list[tuple[int, ...]]:
    at = 3 * tile.shape.rows
    table = tile.ints[at : tile.shape.header].reshape(-1, 4)
    return [tuple(int(x) for x in block) for block in table if block[1]]


def test_a_sequence_that_was_cut_at_its_pages_is_one_run_of_blocks() -> None:
    pages = [7, 3, 9]
    start, count = PAGE_TOKENS - 10, 30
    cut = [Segment(0, start, 10, pages), Segment(10, PAGE_TOKENS, 20, pages)]
    tile = pack(range(32), [*range(start, start + count), 0, 0], cut, group=GROUP)
    assert [(row, rows, at) for row, rows, at, _ in blocks(tile)] == [
        (0, HEIGHT, start),
        (HEIGHT, count - HEIGHT, start + HEIGHT),
    ]
    assert [place(tile, row) for row in (0, 9, 10, 29)] == [(7, 246), (7, 255), (3, 0), (3, 19)]
    assert tile.ints[:32].tolist() == list(range(32)) and tile.written == count


def test_each_row_writes_to_a_place_of_its_own_and_padding_to_the_scratch_page() -> None:
    segments = [Segment(row, 300 + row, 1, [10 + row, 40 + row]) for row in range(11)]
    tile = pack([1] * 16, [*range(300, 311), *[0] * 5], segments, group=GROUP)
    places = [place(tile, row) for row in range(16)]
    assert places[:11] == [(40 + row, 44 + row) for row in range(11)]
    assert {page for page, _ in places[11:]} == {SCRATCH}
    assert len(set(places)) == 16
    assert [b[:3] for b in blocks(tile)] == [(row, 1, 300 + row) for row in range(11)]


def test_pages_behind_a_sequences_last_position_are_not_sent() -> None:
    tile = pack([1] * 16, [5] * 16, [Segment(0, 5, 1, list(range(1, 100)))], group=GROUP)
    assert tile.ints[tile.shape.header :].tolist() == [SCRATCH, 1]


def test_shapes_are_few() -> None:
    """Powers of four, and no depth for tiles that walk: each shape is a graph."""

    def shape(rows: int, start: int) -> tuple[int, int | None]:
        pages = list(range(1, 100))
        found = pack(
            [0] * rows, range(start, start + rows), [Segment(0, start, rows, pages)], group=GROUP
        ).shape
        return found.blocks, found.spans

    assert shape(16, 0) == (1, 1)
    assert shape(16, SPAN - 16) == (1, 1) and shape(16, SPAN - 15) == (1, 4)
    assert shape(16, 3 * SPAN) == (1, 4) and shape(16, 5 * SPAN) == (1, 16)
    assert shape(SPLIT_ROWS, 0)[1] == 1 and shape(SPLIT_ROWS + 64, 0)[1] is None
    assert shape(64, 0) == (4, 1) and shape(128, 0) == (16, None)
    assert shape(1024, 0) == shape(1024, 9000) == (64, None)


def test_an_empty_tile_has_no_block() -> None:
    tile = pack([0] * 16, [0] * 16, [], group=GROUP)
    assert blocks(tile) == [] and tile.ints.dtype == np.int32
    assert {place(tile, row) for row in range(16)} == {(SCRATCH, row) for row in range(16)}

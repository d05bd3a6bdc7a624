"""Layout of one tile's attention on a CUDA device, as one array of integers: one upload for each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_pool import SCRATCH
from kvproxy.engine.tiling.segment import Segment

TILES = (16, 32, 64, 128, 192, 256, 384, 512, 768, 1024, 1280, 1536, 1792, 2048)
"""Row counts of a tile. A device needs more rows than a processor to be busy; steps are small, since padding costs as
much as rows."""
BASE_TILE = 64
"""The tile that all others must agree with: it is used in any case, if need be alone, for decode rows too."""
HEAD_ROWS = 16
"""Rows of every product with the output head."""
SPAN = 512
"""Positions with attention computed in one piece, from a multiple of SPAN on; see ``paged_attention``."""
BLOCK = 64
"""Query rows of a program, the group's heads folded in: the rows of the tensor cores' instruction."""
SPLIT_ROWS = 64
"""Tiles up to this many rows have too few blocks to fill a device: each span gets programs of its own."""


@dataclass(frozen=True, slots=True)
class TileShape:
    """The shape that a graph is recorded for.

    ``blocks`` and ``spans`` are powers of four that suffice: few graphs, and unneeded parts of them cost next to
    nothing.
    """

    rows: int
    blocks: int
    spans: int | None
    """None: each program walks through all spans of its rows."""

    @property
    def header(self) -> int:
        """Integers in front of the page tables."""
        return 3 * self.rows + 4 * self.blocks


@dataclass(frozen=True, slots=True)
class PagedTile:
    """One tile as integers.

    ``ints``: int32, token ids [rows], positions [rows], the beginning of each row's pages [rows], blocks [blocks, 4]
    (first row, rows, position of the first row, beginning of its pages; 0 rows: none), and the page tables behind one
    another, the scratch page first.
    """

    shape: TileShape
    ints: npt.NDArray[np.int32]
    written: int
    """Rows that are no padding."""


def pack(
    token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment], *, group: int
) -> PagedTile:
    """Lay out a tile. Pure.

    ``token_ids`` and ``positions``: one for each row of the tile, padding rows included. ``group``: query heads of a KV
    head.

    Example: ``pack(ids, range(len(ids)), [Segment(0, 0, len(ids), pages)], group=2)``
    """
    rows = len(token_ids)
    tables = [SCRATCH]
    row_tables = [0] * rows
    at = list(positions)
    blocks: list[tuple[int, int, int, int]] = []
    height = max(BLOCK // group, 1)
    depth, used = 1, 0
    for row, start, count, pages in _runs(segments):
        table, end = len(tables), start + count
        tables.extend(pages[: -(-end // PAGE_TOKENS)])
        row_tables[row : row + count] = [table] * count
        for first in range(0, count, height):
            blocks.append((row + first, min(height, count - first), start + first, table))
        depth = max(depth, -(-end // SPAN))
        used = max(used, row + count)
    # Padding rows write to the scratch page, each to a place of its own.
    at[used:] = [row % PAGE_TOKENS for row in range(used, rows)]
    spans = _power_of_four(depth) if rows <= SPLIT_ROWS else None
    shape = TileShape(rows, _power_of_four(len(blocks)), spans)
    ints = np.zeros(shape.header + len(tables), dtype=np.int32)
    ints[: 3 * rows] = np.fromiter((*token_ids, *at, *row_tables), np.int32, 3 * rows)
    ints[3 * rows : 3 * rows + 4 * len(blocks)] = np.array(blocks, dtype=np.int32).reshape(-1)
    ints[shape.header :] = tables
    return PagedTile(shape, ints, sum(seg.count for seg in segments))


def _runs(segments: Sequence[Segment]) -> list[tuple[int, int, int, Sequence[int]]]:
    """Return (row, start, count, pages) of each sequence's rows in one piece.

    Pages play no part in the way rows are cut.
    """
    runs: list[tuple[int, int, int, Sequence[int]]] = []
    for seg in segments:
        if runs:
            row, start, count, pages = runs[-1]
            if pages is seg.pages and (row + count, start + count) == (seg.row, seg.start):
                runs[-1] = (row, start, count + seg.count, pages)
                continue
        runs.append((seg.row, seg.start, seg.count, seg.pages))
    return runs


def _power_of_four(least: int) -> int:
    """Return the smallest power of four that is at least ``least``."""
    return 1 << (max(least - 1, 0).bit_length() + 1) // 2 * 2

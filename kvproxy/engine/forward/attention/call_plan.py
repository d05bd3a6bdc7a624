"""Planning of a tile's attention calls. A row's call shapes depend only on its position, so its bits do too.

A page is never cut. A row at position p attends to

- its own page up to the end of its block of BLOCK_TOKENS positions, in a masked call: no more than one block is
  computed for nothing;
- the pages before it in its span (SPAN_TOKENS aligned positions), one to three, in one unmasked call;
- each span before its own in one unmasked call.

Readers of one document share all but the masked call, and those of several decode rows are made together. Rejected: a
call per page (four times the merging), and one masked call from the own span's start (a call and a merge less for each
prompt tile, but eight readers of one document took 2.5 times a single one's time).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.attention.call_shapes import padded

SPAN_PAGES = 4
SPAN_TOKENS = SPAN_PAGES * PAGE_TOKENS
BLOCK_TOKENS = 128
SPANS = 4
"""The most spans of one call; and only for few columns, which are over sooner than a call is made."""
FEW_COLUMNS = 64
SLACK_COLUMNS = 64
"""The most columns that padding adds to a call."""
_SLICES = 4
"""Up to so many segments are written one by one, more of them by one indexed copy."""

Pages = int | tuple[int, ...]
"""The first of neighbouring pages; or each page, where they are not neighbours."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive rows of one sequence inside one page.

    Rows ``row .. row+count`` of the tile are its positions ``start .. start+count``. ``pages`` are the sequence's pages
    up to the one that holds them.
    """

    row: int
    start: int
    count: int
    pages: Sequence[int]


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """One attention call: ``length`` positions of ``pages``, and the query columns that attend to them."""

    slot: int
    """Slot of its partial result: 0 for the own page; the others in the order in which they are merged."""
    spans: int
    """Number of stretches of positions, each with a result of its own."""
    apart: bool
    """False: all columns attend to every stretch, and the results go to as many slots. True: the columns are shared out
    among the stretches, and all results go to one slot."""
    pages: Pages
    length: int
    """Positions of one stretch: of one page, where ``apart``."""
    columns: slice | torch.Tensor
    """Those of the plan's columns that attend; a tensor is [width] int64."""
    width: int
    """Number of columns."""
    mask: torch.Tensor | None
    """float32 [width, BLOCK_TOKENS], 0 or -inf, to be added to the last block's scores. None: all is seen."""


@dataclass(frozen=True, slots=True)
class Write:
    """Rows ``row .. row+count`` go to ``to .. to+count`` of the pool's positions (page * PAGE_TOKENS + offset)."""

    row: int
    count: int
    to: int


@dataclass(frozen=True, slots=True)
class TilePlan:
    """The writes and attention calls of one tile; built once per step and used by every layer.

    Columns are query rows with the heads of a KV head's group folded in: row * group + head. Each segment's are padded
    to a width that ``invariance`` has measured.
    """

    writes: list[Write]
    indexed: tuple[torch.Tensor, torch.Tensor] | None
    """([n], [n]) int64, rows and pool positions, instead of many ``writes``."""
    gather: torch.Tensor | None
    """[columns] int64: the folded row of each column. None: they are the same."""
    scatter: torch.Tensor | None
    """[rows * group] int64: the column of each folded row, where ``gather`` is given."""
    written: int
    """Rows that are no padding."""
    rows: int
    """Rows up to the last segment's end: results of later ones are not wanted."""
    columns: int
    """Number of columns."""
    calls: list[AttentionCall]
    """Own pages first, then in the order of slots."""
    slots: int
    """Number of partial results that each column merges."""
    gaps: list[int]
    """Slots that some column does not fill."""


def build_plan(
    segments: Sequence[Segment], tile: int, group: int, granule: int, device: torch.device
) -> TilePlan:
    """Plan the calls of one tile of ``tile`` rows. Pure.

    ``group``: query heads of a KV head; ``granule``: columns of a call are padded to a multiple of it.

    Example: ``build_plan([Segment(0, 0, 64, [page])], tile=64, group=3, granule=4, device=torch.device("cpu"))``
    """
    starts, total = [], 0
    for seg in segments:
        assert seg.start % PAGE_TOKENS + seg.count <= PAGE_TOKENS, "a segment stays inside one page"
        assert seg.row + seg.count <= tile, "a segment stays inside its tile"
        starts.append(total)
        total += sum(padded(count * group, granule) for _, count in _blocks(seg))
    own, gather = _own_calls(segments, starts, group, granule, device)
    calls, slots, gaps = _earlier_calls(segments, starts, [*starts[1:], total], device)
    same = gather == list(range(total))
    rows = max((seg.row + seg.count for seg in segments), default=0)
    writes, indexed = _writes(segments, device)
    return TilePlan(
        writes=writes,
        indexed=indexed,
        gather=None if same else torch.tensor(gather, device=device).clamp_(max=tile * group - 1),
        scatter=None if same else _scatter(segments, starts, rows, group, granule, device),
        written=sum(seg.count for seg in segments),
        rows=rows,
        columns=total,
        calls=own + calls,
        slots=slots,
        gaps=gaps,
    )


def _blocks(seg: Segment) -> list[tuple[int, int]]:
    """Return (start, count) of the parts of a segment, cut at multiples of BLOCK_TOKENS."""
    cuts = range(seg.start // BLOCK_TOKENS * BLOCK_TOKENS + BLOCK_TOKENS, seg.start + seg.count, BLOCK_TOKENS)
    edges = [seg.start, *cuts, seg.start + seg.count]
    return [(a, b - a) for a, b in itertools.pairwise(edges)]


def _own_calls(
    segments: Sequence[Segment], starts: Sequence[int], group: int, granule: int, device: torch.device
) -> tuple[list[AttentionCall], list[int]]:
    """Return the masked calls, and the folded row of each column (beyond the last row where it is padding)."""
    found: list[tuple[int, int, list[int], list[int]]] = []  # width, length, pages, first rows of the mask
    gather: list[int] = []
    for seg in segments:
        for start, count in _blocks(seg):
            width, offset = padded(count * group, granule), start % PAGE_TOKENS
            folded = (seg.row + start - seg.start) * group
            gather.extend(range(folded, folded + width))
            length = offset - offset % BLOCK_TOKENS + BLOCK_TOKENS
            page, first = seg.pages[start // PAGE_TOKENS], offset % BLOCK_TOKENS * group
            if found and found[-1][:2] == (width, length) and width <= FEW_COLUMNS:
                found[-1][2].append(page)
                found[-1][3].append(first)
            else:
                found.append((width, length, [page], [first]))
    calls: list[AttentionCall] = []
    column, triangle = starts[0] if starts else 0, _triangle(group, device)
    for width, length, pages, firsts in found:
        many = len(pages)
        mask = triangle[firsts[0] : firsts[0] + width]
        if many > 1:
            mask = triangle[torch.tensor([f + i for f in firsts for i in range(width)], device=device)]
        columns = slice(column, column + many * width)
        where = tuple(pages) if many > 1 else pages[0]
        calls.append(AttentionCall(0, many, many > 1, where, length, columns, many * width, mask))
        column += many * width
    return calls, gather


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _triangle(group: int, device: torch.device) -> torch.Tensor:
    """Return the mask of a block's folded rows, [BLOCK_TOKENS * group + SLACK_COLUMNS, BLOCK_TOKENS].

    Padding sees all.
    """
    mask = torch.full((BLOCK_TOKENS, BLOCK_TOKENS), float("-inf"), device=device).triu_(diagonal=1)
    mask = mask.repeat_interleave(group, dim=0)
    return torch.cat((mask, mask.new_zeros(SLACK_COLUMNS, BLOCK_TOKENS)))


def _earlier_calls(
    segments: Sequence[Segment], starts: Sequence[int], ends: Sequence[int], device: torch.device
) -> tuple[list[AttentionCall], int, list[int]]:
    """Return the unmasked calls, the number of slots, and the slots that some segment does not fill."""
    readers: dict[_Stretch, list[int]] = {}
    for i, seg in enumerate(segments):
        spans, rest = divmod(seg.start // PAGE_TOKENS, SPAN_PAGES)
        own = spans * SPAN_PAGES
        if rest:
            readers.setdefault((-1, tuple(seg.pages[own : own + rest])), []).append(i)
        for span in range(spans):
            pages = tuple(seg.pages[span * SPAN_PAGES : (span + 1) * SPAN_PAGES])
            readers.setdefault((span, pages), []).append(i)
    filled: dict[int, int] = {}
    for (span, _), read_by in readers.items():
        filled[span] = filled.get(span, 0) + len(read_by)
    slots = {span: 1 + i for i, span in enumerate(sorted(filled))}
    calls = []
    for (span, pages), read_by in _joined(readers, [b - a for a, b in zip(starts, ends, strict=True)]):
        edges = [(starts[i], ends[i]) for i in read_by]
        columns: slice | torch.Tensor = slice(edges[0][0], edges[-1][1])
        width = sum(b - a for a, b in edges)
        if any(a[1] != b[0] for a, b in itertools.pairwise(edges)):
            columns = torch.tensor([c for a, b in edges for c in range(a, b)], device=device)
        count = max(1, len(pages) // SPAN_PAGES)
        length = len(pages) // count * PAGE_TOKENS
        where = pages[0] if _in_a_row(pages) else pages
        calls.append(AttentionCall(slots[span], count, False, where, length, columns, width, None))
    return calls, 1 + len(slots), [slots[s] for s, count in sorted(filled.items()) if count < len(segments)]


_Stretch = tuple[int, tuple[int, ...]]
"""(span, its pages); span -1 is the part of the own span before the own page."""


def _joined(readers: dict[_Stretch, list[int]], widths: Sequence[int]) -> list[tuple[_Stretch, list[int]]]:
    """Return the stretches and their readers in the order of slots.

    Spans of the same few readers are one call where one's pages are the last one's neighbours.
    """
    found: list[tuple[_Stretch, list[int]]] = []
    open_at: dict[tuple[int, int], int] = {}
    for (span, pages), read_by in sorted(readers.items()):
        at = open_at.get((span, pages[0]))
        few = sum(widths[i] for i in read_by) <= FEW_COLUMNS
        if at is not None and few and found[at][1] == read_by and len(found[at][0][1]) < SPANS * SPAN_PAGES:
            (first, before), _ = found[at]
            found[at] = (first, before + pages), read_by
        else:
            at = len(found)
            found.append(((span, pages), read_by))
        if span >= 0 and _in_a_row(pages):
            open_at[span + 1, pages[-1] + 1] = at
    return sorted(found, key=lambda f: f[0])


def _in_a_row(pages: Sequence[int]) -> bool:
    """Return whether the pages are neighbours."""
    return all(b == a + 1 for a, b in itertools.pairwise(pages))


def _scatter(
    segments: Sequence[Segment],
    starts: Sequence[int],
    rows: int,
    group: int,
    granule: int,
    device: torch.device,
) -> torch.Tensor:
    """Return the column of each folded row, [rows * group] int64.

    Rows that belong to no segment get the first column's result, which is never read.
    """
    scatter = [0] * (rows * group)
    for seg, column in zip(segments, starts, strict=True):
        folded = seg.row * group
        for _, count in _blocks(seg):
            scatter[folded : folded + count * group] = range(column, column + count * group)
            folded += count * group
            column += padded(count * group, granule)
    return torch.tensor(scatter, device=device)


def _writes(
    segments: Sequence[Segment], device: torch.device
) -> tuple[list[Write], tuple[torch.Tensor, torch.Tensor] | None]:
    """Return the copies of K and V into pages, one by one or as one indexed copy."""
    writes = []
    for seg in segments:
        page, offset = seg.pages[seg.start // PAGE_TOKENS], seg.start % PAGE_TOKENS
        writes.append(Write(seg.row, seg.count, page * PAGE_TOKENS + offset))
    if len(writes) <= _SLICES:
        return writes, None
    rows = [w.row + i for w in writes for i in range(w.count)]
    to = [w.to + i for w in writes for i in range(w.count)]
    return [], (torch.tensor(rows, device=device), torch.tensor(to, device=device))

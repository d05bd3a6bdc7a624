"""What goes into the next tile. Pure: takes sequences, returns a value."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

from kvproxy.engine.numerics import BASE_TILE, DECODE_TILE, Numerics
from kvproxy.engine.sequence import Sequence

MIN_PROMPT_ROWS = 16
"""A prefill always gets this many rows of a tile, however many sequences decode."""


@dataclass(frozen=True, slots=True)
class Part:
    """``count`` rows of one sequence, from position ``start``."""

    sequence: Sequence
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Work:
    tile: int
    """Rows of the tile; a few may be padding."""
    parts: tuple[Part, ...]


def choose(
    prefilling: Seq[Sequence], decoding: Seq[Sequence], numerics: Numerics, *, decode_turn: bool
) -> Work | None:
    """The next tile, or None when there is nothing to do. ``prefilling``: oldest first.

    Where decode rows share the prompt tile's bits they ride along with it; elsewhere prompt and decode tiles
    take turns (``decode_turn``). While anybody decodes, prompts get a small tile: the streams go on.
    """
    if not numerics.unified and decoding and (decode_turn or not prefilling):
        return Work(DECODE_TILE, tuple(_decode(s) for s in decoding[:DECODE_TILE]))
    riders = tuple(_decode(s) for s in decoding) if numerics.unified else ()
    most = numerics.tiles[-1]
    if decoding:
        most = min(most, max(BASE_TILE, len(riders) + MIN_PROMPT_ROWS))
    riders = riders[: most - MIN_PROMPT_ROWS] if prefilling else riders[:most]
    parts = riders + _prompt_parts(prefilling, most - len(riders))
    if not parts:
        return None
    return Work(numerics.tile_for(sum(p.count for p in parts)), parts)


def _decode(sequence: Sequence) -> Part:
    return Part(sequence, sequence.computed, 1)


def _prompt_parts(prefilling: Seq[Sequence], rows: int) -> tuple[Part, ...]:
    """Short remainders first, so that a hit does not wait behind somebody's cold prefill; the oldest sequence
    keeps at least MIN_PROMPT_ROWS rows, so that it ends."""
    if not prefilling or rows <= 0:
        return ()
    oldest, *others = prefilling
    owed = min(_remaining(oldest), MIN_PROMPT_ROWS)
    left = rows - owed
    parts = []
    for sequence in sorted(others, key=_remaining):
        if _remaining(sequence) > left:
            break
        parts.append(Part(sequence, sequence.computed, _remaining(sequence)))
        left -= _remaining(sequence)
    parts.insert(0, Part(oldest, oldest.computed, min(_remaining(oldest), left + owed)))
    return tuple(parts)


def _remaining(sequence: Sequence) -> int:
    return sequence.prompt_tokens - sequence.computed

"""`Segment`: rows of a tile that belong to one sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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

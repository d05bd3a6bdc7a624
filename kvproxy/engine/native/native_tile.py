"""`NativeTile`: one tile's rows and page tables as the native kernels read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.tiling.segment import Segment


@dataclass(frozen=True, slots=True)
class NativeTile:
    """One tile. Made by :func:`lay_out`; its memory lives until its last layer has run."""

    token_ids: npt.NDArray[np.int32]
    """[rows]"""
    positions: npt.NDArray[np.int32]
    """[rows]"""
    row_tables: npt.NDArray[np.int32]
    """[rows]: where each row's page table begins in ``tables``."""
    tables: npt.NDArray[np.int32]
    """Page tables behind one another."""
    hidden: torch.Tensor
    """float32 [rows, hidden]: the residual stream; behind the last layer, the hidden states after the last norm."""
    angles: torch.Tensor
    """float32 [rows, head_dim]: cosines and sines of the rows' positions."""

    @property
    def written(self) -> int:
        """Rows that are no padding: all."""
        return len(self.token_ids)


def lay_out(
    token_ids: Sequence[int],
    positions: Sequence[int],
    segments: Sequence[Segment],
    *,
    hidden: int,
    head_dim: int,
) -> NativeTile:
    """Lay out a tile of the rows that the segments name; rows behind the last segment's are padding and left out.

    ``token_ids`` and ``positions``: one for each row; ``hidden`` and ``head_dim``: components of a row and of a head.

    Example: ``lay_out(ids, range(len(ids)), [Segment(0, 0, len(ids), pages)], hidden=576, head_dim=64)``
    """
    rows = max((s.row + s.count for s in segments), default=0)
    row_tables = np.zeros(rows, dtype=np.int32)
    tables: list[int] = []
    last: Segment | None = None
    begin = 0
    for s in segments:
        needed = -(-(s.start + s.count) // PAGE_TOKENS)
        if last is None or last.pages is not s.pages:
            begin = len(tables)
        # A sequence's next segment stands on a page behind those of the one before.
        tables.extend(s.pages[len(tables) - begin : needed])
        row_tables[s.row : s.row + s.count] = begin
        last = s
    return NativeTile(
        np.fromiter(token_ids, np.int32, rows),
        np.fromiter(positions, np.int32, rows),
        row_tables,
        np.array(tables, dtype=np.int32),
        torch.empty(rows, hidden),
        torch.empty(rows, head_dim),
    )

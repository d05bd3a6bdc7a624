"""Upload of a tile's integers to the device, without waiting for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from kvproxy.engine.forward.cuda.tile_layout import TileShape

CAPACITY = 1 << 16
"""Integers of the first buffer; it grows."""
SLOTS = 3
"""Uploads that may be under way at a time."""


@dataclass(frozen=True, slots=True)
class TileViews:
    """Parts of one int32 tensor on the device, laid out as ``PagedTile.ints``."""

    token_ids: torch.Tensor
    positions: torch.Tensor
    row_tables: torch.Tensor
    blocks: torch.Tensor
    tables: torch.Tensor


class Staging:
    """Page-locked buffers for uploads.

    ``device``: int32, the integers of the last :meth:`put` once the stream gets there.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = torch.zeros(CAPACITY, dtype=torch.int32, device=device)
        self._next = 0
        self._slots = self._make_slots()

    def put(self, ints: npt.NDArray[np.int32]) -> bool:
        """Queue an upload. Return True when ``device`` had to be replaced by a larger one."""
        grown = len(ints) > len(self.device)
        if grown:
            size = 1 << (len(ints) - 1).bit_length()
            self.device = torch.zeros(size, dtype=torch.int32, device=self.device.device)
            self._slots = self._make_slots()
        slot, copied = self._slots[self._next]
        self._next = (self._next + 1) % SLOTS
        if copied is not None:
            copied.synchronize()  # Its last upload, SLOTS tiles ago.
        slot[: len(ints)].numpy()[:] = ints
        self.device[: len(ints)].copy_(slot[: len(ints)], non_blocking=True)
        if copied is not None:
            copied.record()
        return grown

    def views(self, shape: TileShape) -> TileViews:
        """Return the parts of ``device`` for a tile of this shape."""
        rows, header = shape.rows, shape.header
        token_ids, positions, row_tables = self.device[: 3 * rows].view(3, rows)
        blocks = self.device[3 * rows : header].view(-1, 4)
        return TileViews(token_ids, positions, row_tables, blocks, self.device[header:])

    def _make_slots(self) -> list[tuple[torch.Tensor, torch.cuda.Event | None]]:
        """Return page-locked memory, from which a copy runs beside the program."""
        cuda, size = self.device.is_cuda, len(self.device)
        return [
            (torch.zeros(size, dtype=torch.int32, pin_memory=cuda), torch.cuda.Event() if cuda else None)
            for _ in range(SLOTS)
        ]

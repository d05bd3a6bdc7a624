"""`TableSweep`: a walk over the block table, a piece at a time, that frees seats and sets nobody has any more."""

from __future__ import annotations

from kvproxy.residency.block_table import BlockTable
from kvproxy.residency.holder_sets import HolderSets
from kvproxy.residency.replica_seats import ReplicaSeats

_SPARE_SETS = 4096
"""Sets besides twice those that the last walk left, at which a walk begins for their sake."""


class TableSweep:
    """The housekeeping of a residency index: begun where seats were left or sets have piled up, done in pieces."""

    def __init__(self, table: BlockTable, sets: HolderSets, seats: ReplicaSeats) -> None:
        self._table = table
        self._sets = sets
        self._seats = seats
        self._leaving: list[int] = []
        self._at: int | None = None
        self._replaced = 0
        self._left_sets = 0

    def step(self) -> None:
        """Do one piece, some tenths of a millisecond at most; nothing where nothing is due."""
        if self._table.moving:
            self._at = None
            self._table.move_on()
        elif self._at is not None and self._replaced == self._table.replaced:
            self._walk(self._at)
        elif self._at is not None or self._seats.left or len(self._sets) > 2 * self._left_sets + _SPARE_SETS:
            self._replaced = self._table.replaced
            self._leaving = list(self._seats.left)
            self._sets.begin_sweep()
            self._walk(0)

    def _walk(self, begin: int) -> None:
        self._at = self._table.sweep(begin, self._without_left)
        if self._at is None:
            self._sets.end_sweep()
            self._seats.free(self._leaving)
            self._left_sets = len(self._sets)

    def _without_left(self, number: int) -> int:
        return self._sets.without(number, 0)

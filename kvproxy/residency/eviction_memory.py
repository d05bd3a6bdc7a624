"""`EvictionMemory`: which blocks of documents a replica gave up, and when; a ring of fixed size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

_WATCH_BITS = 25
"""The filter has ``2**25`` bits, 4 MiB: at 3 million blocks it lets one in eleven others through as well."""


class WatchedBlocks:
    """A filter of the blocks of known documents: one bit each, by the low bits of a hash. It never forgets.

    A block that was not watched may pass: that costs room in the ring, and nothing else.
    """

    def __init__(self) -> None:
        self._bits = np.zeros(1 << (_WATCH_BITS - 3), np.uint8)
        self._one = self._bits.data

    def watch(self, blocks: Iterable[int]) -> None:
        """Let these blocks pass."""
        for block in blocks:
            at = block & ((1 << _WATCH_BITS) - 1)
            self._one[at >> 3] |= 1 << (at & 7)

    def among(self, blocks: Iterable[int]) -> list[int]:
        """Return those of ``blocks`` that pass."""
        bits, low = self._one, (1 << _WATCH_BITS) - 1
        return [block for block in blocks if bits[(block & low) >> 3] >> (block & 7) & 1]


class EvictionMemory:
    """The last evictions of watched blocks, of all replicas together."""

    def __init__(self, most: int = 1 << 16) -> None:
        """``most``: evictions that are remembered, 18 bytes each."""
        self._blocks = np.zeros(most, np.uint64)
        self._replicas = np.zeros(most, np.uint16)
        self._times = np.zeros(most, np.float64)
        self._next = 0

    def remember(self, replica: int, blocks: Sequence[int], at: float) -> None:
        """Remember that a replica, by its number, gave up ``blocks`` at ``at``, Unix seconds.

        Example: ``remember(3, removed, 1796000000.0)``
        """
        for block in blocks[-len(self._blocks) :]:
            self._blocks[self._next], self._replicas[self._next] = block, replica
            self._times[self._next] = at
            self._next = (self._next + 1) % len(self._blocks)

    def last(self, replica: int, block: int) -> float | None:
        """Return when a replica last gave up ``block``; None where that is not remembered."""
        hits = np.flatnonzero((self._blocks == block) & (self._replicas == replica) & (self._times > 0))
        return float(self._times[hits].max()) if len(hits) else None

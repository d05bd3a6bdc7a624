"""`SimulatedCache`: a replica's prefix cache, least recently used blocks first, as vLLM's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvproxy.routing.best_possible import PartRead

_PARTS = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0xD1342543DE82EF95)


@dataclass(frozen=True, slots=True)
class BlockSpan:
    """Some blocks of a part: from ``begin`` to before ``end``."""

    part: int
    begin: int
    end: int

    def hashes(self) -> tuple[int, ...]:
        """Return the blocks' made-up hashes, 64 bits each."""
        return span_hashes(self.part, self.begin, self.end)


@dataclass(frozen=True, slots=True)
class CacheChange:
    """A prompt's effect on a cache."""

    hit_blocks: int
    stored: tuple[BlockSpan, ...]
    removed: tuple[BlockSpan, ...]


class SimulatedCache:
    """Parts and the number of their leading blocks that are there.

    A prompt touches all of a part's blocks, and vLLM frees a chain's tail first: so the block that goes next is always
    the last one of the part that was touched longest ago, and counts are enough. Exact to the block.
    """

    def __init__(self, capacity: int) -> None:
        """``capacity``: blocks."""
        self._capacity = capacity
        self._held: OrderedDict[int, int] = OrderedDict()
        self._total = 0

    def parts(self) -> dict[int, int]:
        """Return the blocks that are there, by part."""
        return dict(self._held)

    def read(self, parts: Sequence[PartRead]) -> CacheChange:
        """Take a prompt: count the leading blocks that are there, store the others, make room.

        Of a part behind one that is not whole nothing can be used: its chain is broken.
        """
        hit, whole, stored = 0, True, []
        for one in parts:
            have = self._held.get(one.part, 0)
            if whole:
                hit += min(have, one.read)
            whole = whole and have >= one.read
            if one.stored > have:
                stored.append(BlockSpan(one.part, have, one.stored))
                self._total += one.stored - have
                self._held[one.part] = one.stored
        for one in reversed(parts):
            if one.part in self._held:
                self._held.move_to_end(one.part)
        return CacheChange(hit, tuple(stored), tuple(self._make_room()))

    def _make_room(self) -> list[BlockSpan]:
        removed = []
        while self._total > self._capacity:
            part, have = next(iter(self._held.items()))
            left = max(0, have - (self._total - self._capacity))
            removed.append(BlockSpan(part, left, have))
            self._total -= have - left
            if left:
                self._held[part] = left
            else:
                del self._held[part]
        return removed


def span_hashes(part: int, begin: int, end: int) -> tuple[int, ...]:
    """Return hashes that stand for blocks of a part; they differ by part and position, and no text has to be hashed.

    Example: ``span_hashes(17, 0, 32)``
    """
    bits: npt.NDArray[np.uint64] = np.arange(begin, end, dtype=np.uint64) * _STEP
    bits += np.uint64(part % 2**64 * int(_PARTS) % 2**64)
    bits ^= bits >> np.uint64(29)
    bits *= _PARTS
    bits ^= bits >> np.uint64(32)
    return tuple(bits.tolist())

"""`ProbeArray`: 64-bit keys and 32-bit values in two flat arrays, open addressing, searched many keys at once."""

from __future__ import annotations

import mmap
import secrets
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Values = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]

_LOW_64 = 2**64 - 1
_AHEAD = np.arange(1, 9)
"""Places behind a key's first that are looked at together: one line of the processor's cache."""


class ProbeArray:
    """A hash table of fixed size: 12 bytes a place, linear probing, no removal.

    A key is never 0, which marks a free place; a value of 0 means that the key is kept for its place alone. Places
    follow from the key times a random odd number, so that nobody who chooses keys can choose places. The caller keeps
    ``used`` well below ``size``: a full table would be searched for ever.
    """

    def __init__(self, bits: int) -> None:
        """``bits``: the table has ``2**bits`` places."""
        self.size = 1 << bits
        self.used = 0
        self.keys: Keys = np.frombuffer(_zeroed(8 * self.size), np.uint64, self.size)
        self.values: Values = np.frombuffer(_zeroed(4 * self.size), np.uint32, self.size)
        self._factor = secrets.randbits(64) | 1
        self._shift = 64 - bits
        self._one_key = self.keys.data
        self._one_value = self.values.data

    def find(self, keys: Keys) -> Places:
        """Return each key's place, -1 where it has none."""
        places = self._home(keys)
        there = self.keys[places]
        same = there == keys
        found = np.where(same, places, -1)
        waiting = np.flatnonzero(~same & (there != 0))
        ahead = places[waiting, None] + _AHEAD
        while len(waiting):
            ahead &= self.size - 1
            there = self.keys[ahead]
            same = there == keys[waiting, None]
            ends = same | (there == 0)
            first = ends.argmax(axis=1)
            row = np.arange(len(waiting))
            hit = same[row, first]
            found[waiting[hit]] = ahead[row, first][hit]
            on = ~ends[row, first]
            waiting, ahead = waiting[on], ahead[on] + len(_AHEAD)
        return found

    def values_of(self, keys: Sequence[int]) -> list[int]:
        """Return the values of a few keys, 0 for one that has no place: quicker than `find` up to some dozens."""
        at, values, factor, shift, last = (
            self._one_key,
            self._one_value,
            self._factor,
            self._shift,
            self.size - 1,
        )
        found = []
        for key in keys:
            place = ((key * factor) & _LOW_64) >> shift
            while (there := at[place]) != key and there:
                place = (place + 1) & last
            found.append(values[place] if there else 0)
        return found

    def claim(self, keys: Keys) -> Places:
        """Return each key's place; keys that have none get one. No key may occur twice in ``keys``."""
        places = self._home(keys)
        waiting = np.arange(len(keys))
        while len(waiting):
            at, mine = places[waiting], keys[waiting]
            free = self.keys[at] == 0
            self.keys[at[free]] = mine[free]
            got = self.keys[at] == mine
            # Of several keys that met at one free place the last one written has it.
            self.used += int(np.count_nonzero(got & free))
            waiting = waiting[~got]
            places[waiting] = (places[waiting] + 1) & (self.size - 1)
        return places

    def find_one(self, key: int) -> int:
        """Return one key's place, -1 where it has none: quicker than `find` for a few."""
        place = ((key * self._factor) & _LOW_64) >> self._shift
        at = self._one_key
        while there := at[place]:
            if there == key:
                return place
            place = (place + 1) & (self.size - 1)
        return -1

    def claim_one(self, key: int) -> int:
        """Return one key's place; a key that has none gets one."""
        place = ((key * self._factor) & _LOW_64) >> self._shift
        at = self._one_key
        while there := at[place]:
            if there == key:
                return place
            place = (place + 1) & (self.size - 1)
        at[place] = key
        self.used += 1
        return place

    def value_at(self, place: int) -> int:
        """Return the value of a place."""
        return self._one_value[place]

    def set_value(self, place: int, value: int) -> None:
        """Write the value of a place."""
        self._one_value[place] = value

    def _home(self, keys: Keys) -> Places:
        return ((keys * np.uint64(self._factor)) >> np.uint64(self._shift)).astype(np.int64)


def _zeroed(size: int) -> mmap.mmap:
    """Return zeros whose memory comes in small pages as it is written.

    Keys lie anywhere, so the first thousand of them touch every huge page of a new table, and the system would write
    all of it with zeros at once: 30 ms for 24 MB.
    """
    memory = mmap.mmap(-1, max(size, mmap.PAGESIZE))
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory

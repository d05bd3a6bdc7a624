"""`BlockTable`: block hash to a small number, for tens of millions of blocks, grown without a pause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from kvproxy.residency.probe_array import Keys, ProbeArray, Values

_FULL = 0.6
"""The share of places in use at which a table is replaced."""
_FEW = 24
"""Keys up to which one at a time is quicker than all at once."""
_PIECE = 1 << 13
"""Places that are moved or swept at once: well below a millisecond."""
_LEAST_BITS = 10


class BlockTable:
    """Block hashes, 64 bits each, with a number that is not 0 for each. Not safe on several threads.

    A table that is `_FULL` is replaced by one of the right size, and its entries move a piece at a time with the
    changes that follow; meanwhile an entry is in one of the two. Hash 0 is kept as 1, which no chain will meet.
    """

    def __init__(self) -> None:
        self._new = ProbeArray(_LEAST_BITS)
        self._old: ProbeArray | None = None
        self._moved = 0
        self.replaced = 0
        """Times that a new table was begun: places that were known before mean nothing after it."""
        self._unmoved = 0
        """Entries of the old table that count still."""
        self._live = 0
        self._counts: Counter[int] = Counter()

    def __len__(self) -> int:
        """Count the blocks whose number is not 0."""
        return self._live

    @property
    def bytes(self) -> int:
        """The memory of the arrays."""
        return 12 * (self._new.size + (self._old.size if self._old else 0))

    def counts(self) -> list[tuple[int, int]]:
        """Return the numbers that blocks have, with how many have each."""
        return [(number, count) for number, count in self._counts.items() if number and count]

    def get_one(self, block: int) -> int:
        """Return one block's number, 0 where it has none."""
        key = block or 1
        if (place := self._new.find_one(key)) >= 0:
            return self._new.value_at(place)
        if self._old is not None and (place := self._old.find_one(key)) >= 0:
            return self._old.value_at(place)
        return 0

    def runs(self, blocks: Sequence[int]) -> list[tuple[int, int]]:
        """Return the numbers of blocks as runs of equal ones: where each run begins, and its number."""
        if len(blocks) <= _FEW:
            numbers = self._new.values_of([block or 1 for block in blocks])
            if self._old is not None:
                numbers = [it or self.get_one(block) for it, block in zip(numbers, blocks, strict=True)]
            return [(n, it) for n, it in enumerate(numbers) if n == 0 or it != numbers[n - 1]]
        values = self._values(_keys(blocks))
        begins = np.flatnonzero(np.diff(values, prepend=~values[:1]))
        return list(zip(begins.tolist(), values[begins].tolist(), strict=True))

    def change(self, blocks: Sequence[int], turn: Callable[[int], int]) -> None:
        """Replace the number of each block by ``turn`` of it, 0 for a block that had none or is to have none.

        Example: ``change(hashes, lambda number: 7)``
        """
        blocks = list(dict.fromkeys(blocks))
        self._make_room(len(blocks))
        if len(blocks) <= _FEW:
            for block in blocks:
                self._change_one(block or 1, turn)
        else:
            self._change_many(np.unique(_keys(blocks)), turn)
        self.move_on(max(_PIECE, 8 * len(blocks)))

    def sweep(self, begin: int, turn: Callable[[int], int]) -> int | None:
        """Replace the numbers of a piece of the table by ``turn`` of each; return where the next piece begins.

        None means that the end was reached, or that the table is on its way to a larger one and the sweep has to begin
        again: see `moving`.
        """
        if self._old is not None:
            return None
        values = self._new.values[begin : begin + _PIECE]
        self._write(values, np.flatnonzero(values), turn)
        return begin + _PIECE if begin + _PIECE < self._new.size else None

    def move_on(self, places: int = _PIECE) -> None:
        """Move the entries of some places of a table that is being replaced, and drop it at its end."""
        if (old := self._old) is None:
            return
        piece = slice(self._moved, self._moved + places)
        keys, values = old.keys[piece], old.values[piece]
        live = np.flatnonzero(values)
        self._new.values[self._new.claim(keys[live])] = values[live]
        values[live] = 0
        self._unmoved -= len(live)
        self._moved += places
        if self._moved >= old.size:
            self._old = None

    @property
    def moving(self) -> bool:
        """True while entries move to a new table."""
        return self._old is not None

    def _values(self, keys: Keys) -> Values:
        found = self._new.find(keys)
        values = np.where(found >= 0, self._new.values[found], np.uint32(0))
        if self._old is not None and len(rest := np.flatnonzero(found < 0)):
            old = self._old.find(keys[rest])
            values[rest] = np.where(old >= 0, self._old.values[old], np.uint32(0))
        return values

    def _change_one(self, key: int, turn: Callable[[int], int]) -> None:
        before = self.get_one(key)
        after = turn(before)
        if after == before:
            return
        self._live += bool(after) - bool(before)
        self._counts[before] -= 1
        self._counts[after] += 1
        self._new.set_value(self._new.claim_one(key), after)
        if self._old is not None and (place := self._old.find_one(key)) >= 0:
            self._unmoved -= bool(self._old.value_at(place))
            self._old.set_value(place, 0)

    def _change_many(self, keys: Keys, turn: Callable[[int], int]) -> None:
        before = self._values(keys)
        after = _turned(before, turn)
        differ = after != before
        keys, before, after = keys[differ], before[differ], after[differ]
        self._live += int(np.count_nonzero(after)) - int(np.count_nonzero(before))
        self._count(before, after)
        self._new.values[self._new.claim(keys)] = after
        if self._old is not None:
            places = self._old.find(keys)
            places = places[places >= 0]
            self._unmoved -= int(np.count_nonzero(self._old.values[places]))
            self._old.values[places] = 0

    def _write(self, values: Values, places: np.ndarray, turn: Callable[[int], int]) -> None:
        before = values[places]
        after = _turned(before, turn)
        self._live -= int(np.count_nonzero(after == 0))
        self._count(before, after)
        values[places] = after

    def _count(self, before: Values, after: Values) -> None:
        """Keep the counts of numbers true; that of number 0, which is no block's, means nothing."""
        for values, sign in ((before, -1), (after, 1)):
            numbers, times = np.unique(values, return_counts=True)
            for number, count in zip(numbers.tolist(), times.tolist(), strict=True):
                self._counts[number] += sign * count

    def _make_room(self, count: int) -> None:
        """Begin a new table where ``count`` more keys would fill this one."""
        if self._old is not None and self._new.used + self._unmoved + count > _FULL * self._new.size:
            self.move_on(self._old.size)
        if self._new.used + count > _FULL * self._new.size:
            bits = max(_LEAST_BITS, (2 * (self._live + count)).bit_length())
            self._old, self._new, self._moved = self._new, ProbeArray(bits), 0
            self._unmoved = self._live
            self.replaced += 1


def _keys(blocks: Sequence[int]) -> Keys:
    keys = np.fromiter(blocks, np.uint64, len(blocks))
    keys[keys == 0] = 1
    return keys


def _turned(values: Values, turn: Callable[[int], int]) -> Values:
    """Return ``turn`` of each value: it is called once for each that is different, which are few."""
    if not len(values):
        return values
    if (values == values[0]).all():
        return np.full(len(values), turn(int(values[0])), np.uint32)
    different, which = np.unique(values, return_inverse=True)
    return np.fromiter(map(turn, different.tolist()), np.uint32, len(different))[which]

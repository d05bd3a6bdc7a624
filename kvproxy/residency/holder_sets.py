"""`HolderSets`: the different sets of replicas that hold a block, each kept once, under a small number."""

from __future__ import annotations

from collections.abc import Iterable

TIER_BITS = 4
"""Bits of one replica in a set: one for each of `TIERS`."""
_TIER_MASK = (1 << TIER_BITS) - 1


class HolderSets:
    """Sets of (replica, tier), each an integer with a bit for each pair, under the number of its first use.

    Millions of blocks have the same few sets, those of a document's blocks above all. Number 0 is the empty set.
    A replica is a *seat* here: clearing a replica gives it a new seat, in no time, and the old seat's bits are left out
    of every set that is made afterwards. Numbers of sets that no block has any more are freed by the owner's sweep.
    """

    def __init__(self) -> None:
        self._masks: list[int] = [0]
        self._numbers: dict[int, int] = {0: 0}
        self._folded: list[int] = [0]
        self._free: list[int] = []
        self._ones = 0
        self._touched: set[int] = set()
        self._live = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def seat(self, seat: int) -> None:
        """Take a seat into use."""
        self._live |= _TIER_MASK << seat * TIER_BITS
        self._ones |= 1 << seat * TIER_BITS

    def vacate(self, seat: int) -> None:
        """Take a seat out of use: no set has it any more."""
        self._live &= ~(_TIER_MASK << seat * TIER_BITS)

    def added(self, number: int, bits: int) -> int:
        """Return the number of a set with ``bits`` besides."""
        return self._number((self._masks[number] & self._live) | bits)

    def without(self, number: int, bits: int) -> int:
        """Return the number of a set without ``bits``."""
        return self._number(self._masks[number] & self._live & ~bits)

    def mask(self, number: int) -> int:
        """Return the bits of a set."""
        return self._masks[number] & self._live

    def seats(self, number: int) -> int:
        """Return a set's replicas whatever the tier: the lowest bit of each one's."""
        return self._folded[number] & self._live

    def begin_sweep(self) -> None:
        """Note from now on which numbers are given out: `end_sweep` keeps these."""
        self._touched = set()

    def end_sweep(self) -> None:
        """Free the numbers that were not given out since `begin_sweep`; every block's was asked for in between."""
        for number in set(self._numbers.values()) - self._touched - {0}:
            del self._numbers[self._masks[number]]
            self._masks[number] = self._folded[number] = 0
            self._free.append(number)

    def _number(self, mask: int) -> int:
        number = self._numbers.get(mask)
        if number is None:
            folded = (mask | mask >> 1 | mask >> 2 | mask >> 3) & self._ones
            if self._free:
                number = self._free.pop()
                self._masks[number], self._folded[number] = mask, folded
            else:
                number = len(self._masks)
                self._masks.append(mask)
                self._folded.append(folded)
            self._numbers[mask] = number
        self._touched.add(number)
        return number


def seat_bits(seat: int, tiers: Iterable[int]) -> int:
    """Return the bits of a seat in some tiers, by their places in `TIERS`."""
    return sum(1 << tier for tier in tiers) << seat * TIER_BITS


def seats_of(folded: int) -> list[int]:
    """Return the seats of a set as `HolderSets.seats` gives it, ascending."""
    if folded.bit_count() > 16:
        return [seat for seat, digit in enumerate(reversed(f"{folded:x}")) if digit != "0"]
    seats: list[int] = []
    while folded:
        seats.append(((folded & -folded).bit_length() - 1) // TIER_BITS)
        folded &= folded - 1
    return seats

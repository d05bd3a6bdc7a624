"""`ReplicaSeats`: the replicas of a residency index, and the seat that each has in the sets of holders."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvproxy.residency.holder_sets import HolderSets, seats_of

_MOST_NAMED = 1024
"""Sets whose names are remembered."""


@dataclass(slots=True)
class SeatedReplica:
    """One replica's part of the index that is not in the table."""

    name: str
    number: int
    """Its place among all replicas ever seen, at most 16 bits: evictions are remembered by it."""
    seat: int
    since: dict[int, float] = field(default_factory=dict)
    """The first blocks of chains, with the time when each came."""
    cleared_at: float | None = None


class ReplicaSeats:
    """Replicas by name, each with a seat. A seat that was left is given out again after a sweep of the table."""

    def __init__(self, sets: HolderSets) -> None:
        self._sets = sets
        self._replicas: dict[str, SeatedReplica] = {}
        self._numbers = 0
        self._names: list[str] = []
        self._free: list[int] = []
        self._named: dict[int, tuple[str, ...]] = {}
        self.left: list[int] = []
        """Seats that entries of the table may still have."""

    def find(self, name: str) -> SeatedReplica | None:
        """Return a replica; None where nothing of it was ever stored."""
        return self._replicas.get(name)

    def seated(self, name: str) -> SeatedReplica:
        """Return a replica, with a new seat where it has none."""
        replica = self._replicas.get(name)
        if replica is None:
            replica = SeatedReplica(name, self._numbers & 0xFFFF, self._take_seat(name))
            self._replicas[name] = replica
            self._numbers += 1
        return replica

    def reseat(self, replica: SeatedReplica) -> None:
        """Give a replica a new seat: no set has it any more."""
        self._leave(replica.seat)
        replica.seat = self._take_seat(replica.name)
        replica.since = {}

    def remove(self, name: str) -> None:
        """Drop a replica."""
        if (replica := self._replicas.pop(name, None)) is not None:
            self._leave(replica.seat)

    def names(self, folded: int) -> tuple[str, ...]:
        """Return the names of the replicas of a set, as `HolderSets.seats` gives it."""
        names = self._named.get(folded)
        if names is None:
            if len(self._named) >= _MOST_NAMED:
                self._named.clear()
            names = self._named[folded] = tuple(self._names[seat] for seat in seats_of(folded))
        return names

    def name(self, seat: int) -> str:
        """Return the name of the replica of a seat."""
        return self._names[seat]

    def free(self, seats: list[int]) -> None:
        """Let seats be given out again that no entry of the table has any more."""
        self._free += seats
        self.left = [seat for seat in self.left if seat not in seats]

    def _take_seat(self, name: str) -> int:
        self._named.clear()
        if self._free:
            seat = self._free.pop()
            self._names[seat] = name
        else:
            seat = len(self._names)
            self._names.append(name)
        self._sets.seat(seat)
        return seat

    def _leave(self, seat: int) -> None:
        self._sets.vacate(seat)
        self.left.append(seat)

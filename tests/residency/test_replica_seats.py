"""Names and seats of replicas."""

from __future__ import annotations

from kvproxy.residency.holder_sets import HolderSets, seat_bits
from kvproxy.residency.replica_seats import ReplicaSeats


def test_a_replica_that_is_seated_anew_leaves_its_old_seat() -> None:
    sets = HolderSets()
    seats = ReplicaSeats(sets)
    a, b = seats.seated("a"), seats.seated("b")
    both = sets.added(sets.added(0, seat_bits(a.seat, (0,))), seat_bits(b.seat, (0,)))
    assert seats.names(sets.seats(both)) == ("a", "b")
    a.since[1] = 2.0
    old = a.seat
    seats.reseat(a)
    assert seats.names(sets.seats(both)) == ("b",)
    assert (seats.left, a.since, seats.seated("a")) == ([old], {}, a)
    seats.free([old])
    assert seats.left == []
    assert seats.seated("c").seat == old
    assert seats.names(seat_bits(old, (0,))) == ("c",)


def test_a_replica_that_left_is_found_no_more() -> None:
    seats = ReplicaSeats(HolderSets())
    number = seats.seated("a").number
    seats.remove("a")
    seats.remove("a")
    assert seats.find("a") is None
    assert seats.seated("a").number != number

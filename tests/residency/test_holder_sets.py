"""Sets of replicas under numbers: shared, vacated at once, freed by a sweep."""

from __future__ import annotations

import pytest

from kvproxy.residency.holder_sets import HolderSets, seat_bits, seats_of


def seated(*seats: int) -> HolderSets:
    sets = HolderSets()
    for seat in seats:
        sets.seat(seat)
    return sets


def test_equal_sets_have_one_number() -> None:
    sets = seated(0, 1)
    one, two = seat_bits(0, (0,)), seat_bits(1, (2,))
    both = sets.added(sets.added(0, one), two)
    assert both == sets.added(sets.added(0, two), one) != 0
    assert seats_of(sets.seats(both)) == [0, 1]
    assert sets.without(both, two) == sets.added(0, one)
    assert sets.without(sets.without(both, two), one) == 0


def test_a_vacated_seat_is_in_no_set() -> None:
    sets = seated(0, 1)
    both = sets.added(sets.added(0, seat_bits(0, (1,))), seat_bits(1, (1,)))
    sets.vacate(0)
    assert seats_of(sets.seats(both)) == [1]
    assert sets.without(both, 0) == sets.added(0, seat_bits(1, (1,))) != both


def test_a_sweep_frees_what_was_not_given_out() -> None:
    sets = seated(0, 1)
    kept, gone = sets.added(0, seat_bits(0, (0,))), sets.added(0, seat_bits(1, (0,)))
    sets.begin_sweep()
    assert sets.without(kept, 0) == kept
    sets.end_sweep()
    assert len(sets) == 2
    assert sets.added(0, seat_bits(1, (3,))) == gone
    assert sets.mask(kept) == seat_bits(0, (0,))


@pytest.mark.parametrize("seats", [[], [0], [3, 700], list(range(0, 1000, 3))])
def test_seats_are_read_from_bits(seats: list[int]) -> None:
    assert seats_of(sum(seat_bits(seat, (0,)) for seat in seats)) == seats

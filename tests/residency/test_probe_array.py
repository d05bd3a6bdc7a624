"""Keys and places, one at a time and many at once, alike."""

from __future__ import annotations

import random

import numpy as np

from kvproxy.residency.probe_array import ProbeArray


def test_places_are_found_again_in_both_ways_up_to_nine_tenths() -> None:
    source = random.Random(3)
    array = ProbeArray(10)
    keys = [source.getrandbits(64) | 1 for _ in range(920)]
    many, few = keys[:700], keys[700:]
    places = array.claim(np.array(many, np.uint64)).tolist()
    places += [array.claim_one(key) for key in few]
    assert len(set(places)) == array.used == 920
    assert array.find(np.array(keys, np.uint64)).tolist() == places
    assert [array.find_one(key) for key in keys] == places
    assert array.claim(np.array(keys, np.uint64)).tolist() == places
    assert [array.claim_one(key) for key in keys] == places
    assert array.used == 920
    for number, place in enumerate(places, start=1):
        array.set_value(place, number)
    assert array.values_of(keys) == [array.value_at(place) for place in places] == list(range(1, 921))


def test_strangers_have_no_place() -> None:
    array = ProbeArray(8)
    array.claim(np.arange(1, 150, dtype=np.uint64))
    strangers = [*range(1000, 1200)]
    assert set(array.find(np.array(strangers, np.uint64)).tolist()) == {-1}
    assert {array.find_one(key) for key in strangers} == {-1}
    assert set(array.values_of(strangers)) == {0}


def test_keys_that_differ_in_their_low_bits_alone_or_not_at_all_there_spread() -> None:
    """Places cannot be chosen by the choice of hashes."""
    array = ProbeArray(12)
    keys = np.arange(1, 1001, dtype=np.uint64) << np.uint64(40)
    places = array.claim(keys)
    runs = np.count_nonzero(np.diff(np.sort(places)) == 1)
    assert array.used == 1000
    assert runs < 990

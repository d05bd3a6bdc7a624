from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.routing.rendezvous import RendezvousRing, in_order, routing_key, stable_hash

KEYS = [f"document-{i}" for i in range(4000)]


def firsts(ring: RendezvousRing, up: list[bool]) -> list[int]:
    return [next(in_order(ring.scores(key), np.array(up))) for key in KEYS]


def test_hashes_and_orders_are_the_same_in_every_process() -> None:
    assert int(stable_hash("handbook@3")) == 0x1BC4FC9A04A6A0A8
    even, uneven = (
        RendezvousRing(list("abcde"), weights) for weights in ([1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])
    )
    orders = [list(in_order(even.scores(key))) for key in ("x", "y", "z")]
    assert orders == [[2, 4, 3, 0, 1], [4, 0, 2, 1, 3], [0, 3, 2, 4, 1]]
    assert list(in_order(uneven.scores("z"))) == [3, 2, 0, 4, 1]


def test_keys_are_spread_evenly() -> None:
    counts = Counter(firsts(RendezvousRing([f"r{i}" for i in range(8)], [1.0] * 8), [True] * 8))
    assert len(counts) == 8 and all(400 < n < 600 for n in counts.values())


def test_keys_follow_weights() -> None:
    counts = Counter(firsts(RendezvousRing(["a", "b", "c"], [1.0, 2.0, 5.0]), [True] * 3))
    assert 400 < counts[0] < 600 and 880 < counts[1] < 1120 and 2350 < counts[2] < 2650


@pytest.mark.parametrize("weights", [[1.0] * 9, [1.0, 3.0, 0.5] * 3])
def test_a_replica_that_leaves_moves_its_own_keys_only(weights: list[float]) -> None:
    ring = RendezvousRing([f"r{i}" for i in range(9)], weights)
    before = firsts(ring, [True] * 9)
    after = firsts(ring, [at != 4 for at in range(9)])
    moved = [(was, now) for was, now in zip(before, after, strict=True) if was != now]
    assert moved and {was for was, _ in moved} == {4} and len(moved) == before.count(4)
    assert len({now for _, now in moved}) == 8


def test_the_position_of_a_replica_does_not_matter() -> None:
    names = [f"r{i}" for i in range(20)]
    one, other = RendezvousRing(names, [1.0] * 20), RendezvousRing(names[::-1], [1.0] * 20)
    for key in KEYS[:50]:
        assert [names[at] for at in in_order(one.scores(key))] == [
            names[::-1][at] for at in in_order(other.scores(key))
        ]


@given(st.lists(st.floats(0, 1), min_size=0, max_size=40), st.data())
def test_the_order_is_that_of_the_scores_among_those_asked_for(
    scores: list[float], data: st.DataObject
) -> None:
    among = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    found = list(in_order(np.array(scores), np.array(among, dtype=bool)))
    assert sorted(found) == [at for at, wanted in enumerate(among) if wanted]
    assert [scores[at] for at in found] == sorted(scores[at] for at in found)


def test_a_fingerprint_changes_the_key() -> None:
    assert routing_key("a", "b") != routing_key("a2", "b") != routing_key("a", "2b")


def test_names_and_weights_belong_together() -> None:
    with pytest.raises(ValueError, match="2 names and 1 weights"):
        RendezvousRing(["a", "b"], [1.0])

from collections import OrderedDict
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from kvproxy.routing.best_possible import PartRead, best_possible_hits


def whole(part: int, blocks: int) -> list[PartRead]:
    return [PartRead(part, blocks, blocks)]


def test_with_room_all_second_reads_hit() -> None:
    reads = [whole(1, 4), whole(2, 3), whole(1, 4), whole(2, 3)]
    assert best_possible_hits(reads, 7) == [0, 0, 4, 3]
    assert sum(best_possible_hits(reads, 6)) == 6  # one block fewer


def test_what_is_never_read_again_makes_room_first() -> None:
    reads = [whole(1, 4), *(whole(part, 4) for part in range(10, 20)), whole(1, 4)]
    assert best_possible_hits(reads, 4)[-1] == 4


def test_a_growing_session_hits_what_was_stored() -> None:
    reads = [[PartRead(1, 5, 5), PartRead(-1, 0, 2)], [PartRead(1, 5, 5), PartRead(-1, 3, 4)]]
    assert best_possible_hits(reads, 100) == [0, 7]


def lru_hits(reads: list[list[PartRead]], places: tuple[int, ...], capacities: list[int]) -> int:
    """Hits of some routing over LRU caches of blocks."""
    caches = [OrderedDict[tuple[int, int], None]() for _ in capacities]
    hits = 0
    for read, place in zip(reads, places, strict=True):
        cache = caches[place]
        blocks = [(one.part, number) for one in read for number in range(one.read)]
        hits += next((n for n, block in enumerate(blocks) if block not in cache), len(blocks))
        for block in reversed(blocks):
            cache.pop(block, None)
            cache[block] = None
        while len(cache) > capacities[place]:
            cache.popitem(last=False)
    return hits


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=7))
def test_no_routing_over_two_caches_does_better(drawn: list[tuple[int, int]]) -> None:
    sizes = dict(drawn)
    reads = [whole(part, sizes[part]) for part, _ in drawn]
    best = sum(best_possible_hits(reads, 6))
    assert all(lru_hits(reads, places, [3, 3]) <= best for places in product(range(2), repeat=len(reads)))

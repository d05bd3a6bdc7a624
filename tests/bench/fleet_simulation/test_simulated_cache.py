from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.bench.fleet_simulation.simulated_cache import BlockSpan, SimulatedCache, span_hashes
from kvproxy.routing.best_possible import PartRead


class BlockLru:
    """The rule, block by block: leading hits, all touched, the tail of a chain older than its head."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.blocks = capacity, OrderedDict[tuple[int, int], None]()

    def read(self, parts: list[PartRead]) -> int:
        chain = [(one.part, number) for one in parts for number in range(one.stored)]
        wanted = [(one.part, number) for one in parts for number in range(one.read)]
        hit = next((n for n, block in enumerate(wanted) if block not in self.blocks), len(wanted))
        for block in reversed(chain):
            self.blocks.pop(block, None)
            self.blocks[block] = None
        while len(self.blocks) > self.capacity:
            self.blocks.popitem(last=False)
        return hit


DOCUMENTS = st.integers(0, 5).map(lambda part: PartRead(part, part + 2, part + 2))
MINE = st.builds(
    lambda part, read, more: PartRead(-1 - part, read, read + more),
    st.integers(0, 3),
    *[st.integers(0, 4)] * 2,
)


@given(st.lists(st.tuples(DOCUMENTS, MINE), max_size=40), st.integers(16, 30))
def test_counts_of_parts_are_exact_to_the_block(
    reads: list[tuple[PartRead, PartRead]], capacity: int
) -> None:
    cache, rule = SimulatedCache(capacity), BlockLru(capacity)
    grown: dict[int, int] = {}
    told: set[tuple[int, int]] = set()
    for document, mine in reads:
        read = max(mine.read, grown.get(mine.part, 0))  # a session only grows
        grown[mine.part] = read + 1
        parts = [document, PartRead(mine.part, min(read, 6), min(read + 1, 6))]
        change = cache.read(parts)
        assert change.hit_blocks == rule.read(parts)
        for span in change.stored:
            told |= {(span.part, number) for number in range(span.begin, span.end)}
        for span in change.removed:
            told -= {(span.part, number) for number in range(span.begin, span.end)}
        held = {(part, number) for part, blocks in cache.parts().items() for number in range(blocks)}
        assert held == set(rule.blocks) == told


def test_a_broken_chain_ends_the_hits() -> None:
    cache = SimulatedCache(10)
    cache.read([PartRead(1, 6, 6), PartRead(-1, 0, 3)])
    change = cache.read([PartRead(2, 3, 3)])
    assert change.removed == (BlockSpan(-1, 1, 3),) and change.stored == (BlockSpan(2, 0, 3),)
    cache.read([PartRead(2, 3, 3), PartRead(-2, 0, 5)])
    assert cache.read([PartRead(1, 6, 6), PartRead(-1, 3, 3)]).hit_blocks < 6


def test_hashes_differ_by_part_and_position() -> None:
    hashes = [value for part in (-3, -1, 0, 1, 10**6) for value in span_hashes(part, 0, 1000)]
    assert len(set(hashes)) == 5000 and all(0 <= value < 2**64 for value in hashes)
    assert span_hashes(7, 3, 5) == span_hashes(7, 0, 9)[3:5] and span_hashes(7, 4, 4) == ()

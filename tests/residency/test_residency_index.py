"""The index against a dictionary of sets, under any events; and what it says of times and tiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvproxy.core.replica_choice import ReplicaResidency, ReplicaTier
from kvproxy.residency import block_table
from kvproxy.residency.eviction_memory import EvictionMemory
from kvproxy.residency.kv_events import (
    TIERS,
    AllCleared,
    BlocksRemoved,
    BlocksStored,
    KvEvent,
    ReplicaChange,
)
from kvproxy.residency.residency_index import ResidencyIndex

REPLICAS = ("a", "b", "c")
BLOCKS = st.integers(0, 60).map(lambda n: n * 0x9E3779B97F4A7C15 % 2**64)
TIER = st.sampled_from(TIERS)


class Naive:
    """The same answers from one set of (block, tier) for each replica."""

    def __init__(self) -> None:
        self.held: dict[str, set[tuple[int, ReplicaTier]]] = {}

    def apply(self, replica: str, event: KvEvent) -> None:
        mine = self.held.setdefault(replica, set())
        if isinstance(event, BlocksStored):
            mine |= {(block, event.tier) for block in event.hashes}
        elif isinstance(event, BlocksRemoved):
            gone = set(TIERS) if event.tier == "unknown" else {event.tier, "unknown"}
            mine -= {(block, tier) for block in event.hashes for tier in gone}
        else:
            mine.clear()

    def longest(self, hashes: Sequence[int]) -> Mapping[str, int]:
        found = {}
        for replica, mine in self.held.items():
            blocks = {block for block, _ in mine}
            count = next((n for n, block in enumerate(hashes) if block not in blocks), len(hashes))
            if count:
                found[replica] = count
        return found

    def counts(self) -> dict[str, dict[ReplicaTier, int]]:
        found: dict[str, dict[ReplicaTier, int]] = {}
        for replica, mine in self.held.items():
            tiers: dict[int, list[int]] = {}
            for block, tier in mine:
                tiers.setdefault(block or 1, []).append(TIERS.index(tier))
            for places in tiers.values():
                counts = found.setdefault(replica, {})
                counts[TIERS[min(places)]] = counts.get(TIERS[min(places)], 0) + 1
        return found

    def confirm(self, replica: str, hashes: Sequence[int]) -> None:
        mine = self.held.setdefault(replica, set())
        blocks = {block for block, _ in mine}
        mine |= {(block, "unknown") for block in hashes if block not in blocks}

    def forget(self, replica: str, hashes: Sequence[int]) -> None:
        gone = set(hashes)
        self.held[replica] = {it for it in self.held.get(replica, ()) if it[0] not in gone}


EVENTS = st.one_of(
    st.builds(BlocksStored, hashes=st.lists(BLOCKS, max_size=40).map(tuple), tier=TIER),
    st.builds(BlocksRemoved, hashes=st.lists(BLOCKS, max_size=40).map(tuple), tier=TIER),
    st.just(AllCleared()),
)
STEPS = st.one_of(
    st.tuples(st.just("apply"), st.sampled_from(REPLICAS), st.lists(EVENTS, max_size=6)),
    st.tuples(
        st.sampled_from(("confirm", "forget")), st.sampled_from(REPLICAS), st.lists(BLOCKS, max_size=40)
    ),
    st.tuples(st.just("clear"), st.sampled_from(REPLICAS), st.none()),
)


@pytest.fixture(params=[2, 24, 8192], ids=lambda piece: f"pieces of {piece}")
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small pieces, so that sweeps and moves are under way while events come."""
    monkeypatch.setattr(block_table, "_PIECE", request.param)
    monkeypatch.setattr(block_table, "_FEW", 8)
    monkeypatch.setattr(block_table, "_LEAST_BITS", 4)
    yield


@pytest.mark.usefixtures("piece")
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=25), chain=st.lists(BLOCKS, max_size=40))
def test_it_says_what_sets_say(steps: list[tuple[str, str, list[object]]], chain: list[int]) -> None:
    index, naive = ResidencyIndex(), Naive()
    for act, replica, what in steps:
        if act == "apply":
            index.apply(replica, what, at=1.0)  # type: ignore[arg-type]  # hypothesis: events
            for event in what:
                naive.apply(replica, event)  # type: ignore[arg-type]  # as above
        elif act == "clear":
            index.clear(replica)
            naive.apply(replica, AllCleared())
        else:
            getattr(index, act)(replica, what)
            getattr(naive, act)(replica, what)
        assert index.longest(chain) == naive.longest(chain)
    held = {block for mine in naive.held.values() for block, _ in mine}
    for block in held | set(chain):
        assert index.longest([block]) == naive.longest([block])
    for _ in range(1500):
        index.apply("nobody", ())
    for block in held | set(chain):
        assert index.longest([block]) == naive.longest([block])
    assert index.held_blocks() == naive.counts()
    assert index.size.blocks == len(held - {0} | ({1} if 0 in held else set()))
    assert index.size.holder_sets < 300


def stored(*blocks: int, tier: ReplicaTier = "device", parent: int | None = None) -> BlocksStored:
    return BlocksStored(blocks, tier, parent)


def test_tiers_since_and_order_are_told() -> None:
    index = ResidencyIndex()
    index.apply("a", [stored(1, 2, 3)], at=10.0)
    index.apply("a", [stored(3, tier="host", parent=2), BlocksRemoved((3,))], at=20.0)
    index.apply("b", [stored(1, 2, tier="storage")], at=30.0)
    index.confirm("c", [1], at=40.0)
    assert index.residencies([1, 2, 3], 16) == (
        ReplicaResidency("a", 48, "host", 10.0),
        ReplicaResidency("b", 32, "storage", 30.0),
        ReplicaResidency("c", 16, "unknown", 40.0),
    )
    assert index.tier("a", [1, 2]) == "device"
    assert index.tier("nobody", [1]) == "unknown"


def test_evictions_of_watched_blocks_are_remembered() -> None:
    index = ResidencyIndex()
    index.watch([1, 2])
    index.apply("a", [stored(1, 2, 3)], at=10.0)
    index.apply("a", [BlocksRemoved((2, 3))], at=20.0)
    assert (index.evicted_at("a", 1), index.evicted_at("a", 2), index.evicted_at("a", 3)) == (
        None,
        20.0,
        None,
    )
    assert index.evicted_at("b", 2) is None
    index.apply("a", [stored(2, parent=1)], at=30.0)
    assert index.evicted_at("a", 2) is None
    index.apply("a", [BlocksRemoved((2,)), BlocksRemoved((1,))], at=40.0)
    assert index.evicted_at("a", 2) == 40.0
    assert index.held_since("a", 1) is None


def test_a_block_that_remains_in_another_tier_is_not_evicted() -> None:
    index = ResidencyIndex()
    index.watch([1])
    index.apply("a", [stored(1), stored(1, tier="host"), BlocksRemoved((1,))], at=10.0)
    assert (index.evicted_at("a", 1), index.held_since("a", 1), index.longest([1])) == (None, 10.0, {"a": 1})


def test_the_ring_of_evictions_keeps_the_last() -> None:
    memory = EvictionMemory(most=4)
    memory.remember(1, [10, 11, 12], 5.0)
    memory.remember(1, [13, 14], 6.0)
    memory.remember(2, list(range(100, 110)), 7.0)
    assert [memory.last(1, block) for block in (10, 14)] == [None, None]
    assert [memory.last(2, block) for block in (105, 106, 109)] == [None, 7.0, 7.0]


def test_a_full_index_takes_watched_blocks_and_known_ones() -> None:
    index = ResidencyIndex(most_blocks=4)
    index.watch([50, 51, 60, 61, 62, 63])
    index.apply("a", [stored(1, 2, 3, 4)])
    index.apply("b", [stored(1, 5)])
    assert index.longest([1]) == {"a": 1, "b": 1}
    assert index.longest([5]) == {}
    index.apply("a", [stored(50, 51)])
    assert index.longest([50, 51]) == {"a": 2}
    index.apply("a", [stored(60, 61)])
    index.apply("a", [stored(62, 63)])
    assert (index.size.blocks, index.size.refused) == (8, 3)


def test_a_cleared_and_a_dropped_replica_hold_nothing() -> None:
    index = ResidencyIndex()
    for name in ("a", "b"):
        index.apply(name, [stored(1)], at=1.0)
    index.clear("a", at=9.0)
    assert (index.longest([1]), index.cleared_at("a"), index.held_since("a", 1)) == ({"b": 1}, 9.0, None)
    index.drop("b")
    assert index.longest([1]) == {}
    index.take(ReplicaChange("a", (stored(1),), 3.0))
    index.take(ReplicaChange("a", (stored(2),), 4.0, lost="gap"))
    assert (index.longest([1]), index.longest([2])) == ({}, {"a": 1})


def test_a_thousand_replicas_are_all_named_and_cleared_seats_come_back() -> None:
    index = ResidencyIndex()
    names = [f"r{n}" for n in range(1000)]
    for turn in range(3):
        for name in names:
            index.apply(name, [stored(1, 2)])
        assert index.longest([1, 2, 3]) == dict.fromkeys(names, 2)
        for name in names:
            index.clear(name)
        assert index.longest([1]) == {}, turn
    for _ in range(20):
        index.apply("r0", [stored(7)])
    assert index.size.holder_sets < 10

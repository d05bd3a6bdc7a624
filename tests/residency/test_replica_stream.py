"""Changes that are due for the index of one replica: in pieces, with our hashes, void after a loss."""

from __future__ import annotations

from kvproxy.residency.block_hashes import BlockHashes
from kvproxy.residency.kv_events import AllCleared, BlocksRemoved, BlocksStored, EventBatch, KvEvent
from kvproxy.residency.replica_stream import ReplicaStream


def batch(*events: KvEvent) -> EventBatch:
    return EventBatch(5.0, events)


def test_many_blocks_come_in_pieces_and_in_order() -> None:
    stream = ReplicaStream("a", None)
    events = [BlocksStored(tuple(range(n * 500, n * 500 + 500))) for n in range(10)]
    stream.apply(batch(*events), live=True)
    assert [len(change.events) for change in stream.due] == [4, 4, 2]
    assert [event for change in stream.due for event in change.events] == events
    assert {(change.at, change.live, change.lost) for change in stream.due} == {(5.0, True, None)}


def test_a_loss_voids_what_waits() -> None:
    stream = ReplicaStream("a", None)
    stream.apply(batch(BlocksStored((1,))), live=True)
    stream.lose("gap")
    stream.apply(batch(BlocksRemoved((1,))), live=False)
    assert [change.lost for change in stream.due] == ["gap", None]
    assert stream.status().last_loss == "gap"


def test_the_block_size_is_learned_and_learned_anew_at_a_chains_beginning() -> None:
    stream = ReplicaStream("a", None)
    ids = tuple(range(32))
    for size in (16, 8):
        chain = BlockHashes(size).chain(ids)
        stream.apply(batch(BlocksStored(chain, "device", None, ids, size)), live=True)
        assert (stream.status().block_tokens, stream.status().same_hashes) == (size, True)
    stream.apply(batch(BlocksStored((4,), "device", 3, ids[:16], 16)), live=True)
    assert stream.status().block_tokens == 8


def test_a_seed_makes_other_hashes() -> None:
    ids = tuple(range(16))
    for seed, same in (("0", True), (None, False)):
        stream = ReplicaStream("a", seed)
        stored = BlocksStored(BlockHashes(16, "0").chain(ids), "device", None, ids, 16)
        stream.apply(batch(stored), live=True)
        assert stream.status().same_hashes is same


def test_long_events_and_many_empty_ones_reach_the_event_loop_in_pieces() -> None:
    stream = ReplicaStream("a", None)
    ids = tuple(range(5000))
    stream.apply(batch(BlocksStored(ids, "device", 77, (), 0), BlocksRemoved(ids)), live=True)
    empty: list[KvEvent] = [BlocksRemoved(()), AllCleared()]
    stream.apply(batch(*empty * 3000), live=True)
    stored = [event for change in stream.due for event in change.events if isinstance(event, BlocksStored)]
    assert tuple(block for event in stored for block in event.hashes) == ids
    assert [event.parent for event in stored] == [77, 2047, 4095]
    assert max(sum(max(1, len(getattr(e, "hashes", ()))) for e in c.events) for c in stream.due) <= 2048
    assert sum(isinstance(event, AllCleared) for change in stream.due for event in change.events) == 3000

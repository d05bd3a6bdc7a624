"""The forms of events on the wire."""

from __future__ import annotations

from kvproxy.fake_replica.told_events import ToldCleared, ToldRemoved, ToldStored, wire_batch

STORED = ToldStored((1, 2), None, (5, 6, 7, 8), 2, "s", True, None)


def test_only_the_first_block_carries_the_salt() -> None:
    at, (event,), rank = wire_batch([STORED], "map", 1.5)
    assert (at, rank, event["extra_keys"]) == (1.5, 0, [["s"], None])
    later = ToldStored((3,), 2, (9, 9), 2, "s", False, "handbook")
    (_, (event,), _) = wire_batch([later], "map", 1.5)
    assert (event["extra_keys"], event["parent_block_hash"], event["session_id"]) == ([None], 2, "handbook")


def test_arrays_have_the_same_in_order() -> None:
    _, events, _ = wire_batch([STORED, ToldRemoved((1,)), ToldCleared()], "array", 1.5)
    assert events == [
        ["BlockStored", [1, 2], None, [5, 6, 7, 8], 2, None, "GPU"],
        ["BlockRemoved", [1], "GPU"],
        ["AllBlocksCleared"],
    ]

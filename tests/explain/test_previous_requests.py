"""The memory of earlier requests: bounded, apart by scope, and searched exactly."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core.common_prefix import common_prefix
from kvproxy.explain.previous_requests import SHARE, PreviousRequests, packed
from kvproxy.explain.request_outline import RequestOutline

NONE = RequestOutline()
IDS = st.lists(st.sampled_from([0, 1, 255, 256, 151_000]), min_size=1, max_size=8)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def memory(clock: Clock | None = None, **bounds: int) -> PreviousRequests:
    sizes = {"ttl_s": 60, "max_requests": 100, "max_memory": 2**20, **bounds}
    return PreviousRequests(**sizes, clock=clock or Clock())


def nearest(
    kept: PreviousRequests, ids: Sequence[int], *, other: bool = False, scope: str = "a"
) -> str | None:
    found = kept.nearest(scope, packed(ids), other=other)
    return None if found is None else f"{found.request.id}:{found.common}"


@given(st.lists(IDS, max_size=20), IDS)
def test_the_nearest_is_that_of_comparing_all(sent: list[list[int]], asked: list[int]) -> None:
    kept = memory()
    for ids in sent:
        kept.add("a", "r", ids, NONE)
        kept.add("b", "r", [*ids, *asked], NONE)
    assert kept.check() == []
    found = kept.nearest("a", packed(asked))
    most = max((common_prefix(ids, asked) for ids in sent), default=None)
    assert (None if found is None else found.common) == most
    other = kept.nearest("a", packed(asked), other=True)
    begun = [common_prefix(ids, asked) for ids in sent if ids[: len(asked)] != asked]
    continued = [ids for ids in sent if any(longer != ids and longer[: len(ids)] == ids for longer in sent)]
    if not continued and len(sent) < 10:
        assert (None if other is None else other.common) == max(begun, default=None)


def test_of_equal_ones_the_newest() -> None:
    clock = Clock()
    kept = memory(clock)
    for id, last in (("old", 9), ("new", 3)):
        kept.add("a", id, [1, 2, last], NONE)
        clock.now += 1
    assert nearest(kept, [1, 2, 5]) == "new:2"


def test_a_continued_conversation_is_kept_once() -> None:
    kept = memory()
    kept.add("a", "first", [1, 2], NONE)
    kept.add("a", "second", [1, 2, 3, 4], NONE)
    assert len(kept) == 1 and nearest(kept, [1, 2, 9]) == "second:2"
    assert nearest(kept, [1, 2, 3, 4]) == "second:4" and nearest(kept, [1, 2, 3, 4], other=True) is None


def test_requests_expire() -> None:
    clock = Clock()
    kept = memory(clock)
    kept.add("a", "r", [1, 2], NONE)
    clock.now += 61
    assert nearest(kept, [1, 2]) is None and len(kept) == 0 and kept.size == 0


def test_a_repeated_request_is_new_again() -> None:
    clock = Clock()
    kept = memory(clock)
    kept.add("a", "r", [1, 2], NONE)
    clock.now += 50
    kept.add("a", "again", [1, 2], NONE)
    clock.now += 50
    assert nearest(kept, [1, 2]) == "again:2"


def test_the_oldest_make_room() -> None:
    kept = memory(max_requests=2)
    for n in range(4):
        kept.add("a", f"r{n}", [n, 7], NONE)
    kept.add("b", "other", [0], NONE)
    assert len(kept) == 3 and nearest(kept, [0, 7]) in ("r2:0", "r3:0") and nearest(kept, [3, 7]) == "r3:2"


def test_memory_is_bounded_for_each_and_for_all() -> None:
    kept = memory(max_memory=40_000)
    for n in range(50):
        kept.add("greedy", "r", [n] * 500, NONE)
    assert 0 < kept.size <= 40_000 // SHARE
    kept.add("huge", "r", range(9000), NONE)
    assert kept.nearest("huge", packed([0])) is None, "more than a scope's share is not kept"
    for scope in "abcdefgh":
        for n in range(50):
            kept.add(scope, "r", [n] * 500, NONE)
    assert kept.size <= 40_000 and kept.check() == []


def test_scopes_do_not_see_each_other() -> None:
    kept = memory()
    kept.add("a", "r", [1, 2], NONE)
    assert nearest(kept, [1, 2], scope="b") is None and nearest(kept, [1, 2], scope="a#salt") is None

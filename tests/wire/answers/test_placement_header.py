from __future__ import annotations

from kvproxy.core import DocumentRef, Hit
from kvproxy.events import Started
from kvproxy.wire.answers.cache_status import cache_status
from kvproxy.wire.answers.placement_header import MOST, placement_header

HANDBOOK = DocumentRef("handbook", 3)


def test_it_tells_what_was_moved_where_that_was_asked_for() -> None:
    assert placement_header("keep", [HANDBOOK]) == {}
    assert (
        placement_header("front", None) == placement_header("front", []) == {"x-kvproxy-placement": "front"}
    )
    both = placement_header("front", [HANDBOOK, DocumentRef("notes/a", 1)])
    assert both == {"x-kvproxy-placement": 'front; moved="handbook@3 notes/a@1"'}


def test_it_does_not_grow_with_a_request() -> None:
    (value,) = placement_header("front", [HANDBOOK] * (MOST + 9)).values()
    assert value.count("handbook@3") == MOST


def test_cache_status_counts_them() -> None:
    started = Started(512, False, queue_s=0.0, load_s=0.0, prefill_s=0.0)
    told = cache_status(Hit(512, HANDBOOK), started, exact=True, moved=[HANDBOOK])
    assert told == 'kvproxy; hit; key="handbook@3"; detail="tokens=512,exact; moved=1"'

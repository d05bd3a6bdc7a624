from __future__ import annotations

import pytest

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import PinOutcome, pages_for
from tests.engine.cache.small_cache import TOKENS, keep, make_cache, take


def test_free_and_held_are_the_total() -> None:
    cache = make_cache(4)
    keep(cache, TOKENS[:300])
    (page,) = take(cache, 1)
    seen = cache.occupancy()
    assert (seen.total, seen.free, seen.held, seen.evictable, seen.nodes) == (4, 1, 3, 2, 2)
    assert cache.check([[page]]) == []
    assert len(cache.check([])) == 1
    cache.return_pages([page])
    assert cache.check([]) == []


def test_leaves_are_evicted_before_what_they_need() -> None:
    cache = make_cache(4)
    keep(cache, TOKENS[: 3 * PAGE_TOKENS])
    held = take(cache, 2)
    assert cache.match(TOKENS, ["a"], 999).tokens == 2 * PAGE_TOKENS
    held += take(cache, 1)
    assert cache.match(TOKENS, ["a"], 999).tokens == PAGE_TOKENS
    cache.return_pages(held)
    assert cache.check([]) == []


def test_the_least_used_goes_first() -> None:
    cache = make_cache(3)
    for first in (20, 10, 30):
        keep(cache, (first, *TOKENS[:9]))
    for first in (10, 30):
        match = cache.match((first, *TOKENS), ["a"], 5)
        assert match.tokens == 5
        cache.note_use(match.nodes)
    held = take(cache, 1)
    assert [cache.match((f, *TOKENS), ["a"], 5).tokens for f in (10, 20, 30)] == [5, 0, 5]
    cache.return_pages(held)


def test_retained_and_held_pages_are_never_evicted() -> None:
    cache = make_cache(3)
    (retained,) = keep(cache, (10, *TOKENS[:9]))
    (used,) = keep(cache, (20, *TOKENS[:9]))
    keep(cache, (30, *TOKENS[:9]))
    cache.retain([retained])
    shared = cache.share(used)
    assert not cache.reserve(2)
    page = take(cache, 1)[0]
    assert cache.match((10, *TOKENS), ["a"], 5).tokens == 5
    assert cache.match((20, *TOKENS), ["a"], 5).tokens == 5
    assert not cache.reserve(1)
    with pytest.raises(MemoryError):
        cache.take(None)
    cache.release([retained])
    cache.return_pages([shared, page])
    assert cache.check([]) == []


def test_a_page_above_one_in_use_is_not_evictable() -> None:
    """A parent of a node in use cannot be evicted, though no sequence uses the parent itself."""
    cache = make_cache(3)
    parent, child = keep(cache, TOKENS[: 2 * PAGE_TOKENS])
    shared = cache.share(child)
    assert cache.occupancy().evictable == 0
    assert not cache.reserve(2)
    page = take(cache, 1)[0]
    assert parent.page is not None
    cache.return_pages([shared, page])
    assert cache.occupancy().evictable == 2


def test_children_on_disk_go_with_the_page_that_leads_to_them() -> None:
    cache = make_cache(3)
    first, second = keep(cache, TOKENS[: 2 * PAGE_TOKENS])
    cache.mark_stored(second)
    held = take(cache, 3)
    assert cache.occupancy().nodes == 0
    cache.return_pages(held)
    assert cache.check([]) == [] and first.page is None


def test_discarding_forgets_a_page_and_all_behind_it() -> None:
    cache = make_cache(4)
    first, *_ = keep(cache, TOKENS[:700])
    keep(cache, (*TOKENS[:PAGE_TOKENS], 0, 0), scope="b")
    reader = cache.share(first)
    cache.discard(first)
    assert cache.match(TOKENS, ["a"], 999).tokens == 0
    assert cache.check([[reader]]) == [], "a reader keeps its page"
    assert not any(n.scope == "a" for n in cache.index)
    cache.return_pages([reader])
    cache.discard(first)
    assert cache.occupancy().held == cache.occupancy().evictable == cache.occupancy().nodes


def test_nothing_is_registered_below_a_page_that_was_given_up() -> None:
    cache = make_cache(4)
    (first,) = keep(cache, TOKENS[:PAGE_TOKENS])
    cache.discard(first)
    (page,) = take(cache, 1)
    assert cache.register("a", first, TOKENS[PAGE_TOKENS : 2 * PAGE_TOKENS], page) is None
    cache.return_pages([page])
    assert cache.check([]) == []


def test_a_partial_page_that_grows_replaces_what_it_was() -> None:
    cache = make_cache(2)
    (page,) = take(cache, 1)
    for end in (10, 90, 256):
        cache.register("a", None, TOKENS[:end], page)
        assert len(cache.index) == 1
        assert cache.match(TOKENS, ["a"], 999).tokens == end
        assert cache.check([[page]]) == []
    cache.return_pages([page])
    assert cache.occupancy().evictable == 1


def test_a_partial_page_that_is_stored_or_retained_is_not_replaced() -> None:
    cache = make_cache(2)
    (page,) = take(cache, 1)
    stored = cache.register("a", None, TOKENS[:10], page)
    assert stored is not None
    cache.mark_stored(stored)
    retained = cache.register("a", None, TOKENS[:90], page)
    assert retained is not None
    cache.retain([retained])
    cache.register("a", None, TOKENS[:200], page)
    assert {len(n.token_ids) for n in cache.index} == {10, 90, 200}
    cache.return_pages([page])
    assert cache.occupancy().evictable == 0
    cache.release([retained])
    assert cache.check([]) == []
    assert cache.occupancy().evictable == cache.occupancy().held == 1, "three nodes hold one page"
    cache.return_pages(take(cache, 2))
    assert [n.stored for n in cache.index] == [True]
    assert cache.check([]) == []


def test_a_known_page_in_use_stays_when_the_same_is_computed_again() -> None:
    cache = make_cache(3)
    (known,) = keep(cache, TOKENS[:PAGE_TOKENS])
    before = known.page
    cache.retain([known])
    (page,) = take(cache, 1)
    assert cache.register("a", None, TOKENS[:PAGE_TOKENS], page) is known
    assert known.page == before
    cache.return_pages([page])
    cache.release([known])
    assert cache.check([]) == []


def test_a_known_page_that_is_not_in_use_gives_way_to_the_same_one_computed_again() -> None:
    """Else the nodes registered below would keep it from eviction, though it was reserved."""
    cache = make_cache(3)
    (known,) = keep(cache, TOKENS[:PAGE_TOKENS])
    assert cache.reserve(3)
    pages = [cache.take(None), cache.take(None)]
    assert cache.register("a", None, TOKENS[:PAGE_TOKENS], pages[0]) is known
    assert known.page == pages[0]
    cache.register("a", known, TOKENS[PAGE_TOKENS : 2 * PAGE_TOKENS], pages[1])
    pages.append(cache.take(None))
    cache.return_pages(pages)
    assert cache.check([]) == []


def test_a_partial_page_computed_further_elsewhere_is_replaced_too() -> None:
    cache = make_cache(3)
    (old,) = keep(cache, TOKENS[:40])
    cache.note_use([old])
    (new,) = keep(cache, TOKENS[:90])
    assert list(cache.index) == [new] and cache.occupancy().held == 1
    assert new.frequency >= 1.0, "what it was used for counts on"
    keep(cache, (*TOKENS[:50], 0))
    assert len(cache.index) == 2, "another continuation is another page"


def test_pinned_pages_stay_up_to_a_share() -> None:
    cache = make_cache(4)
    pinned = keep(cache, TOKENS[: 2 * PAGE_TOKENS])
    other = keep(cache, (10, *TOKENS[:9]))
    assert cache.pin(pinned, 2) is PinOutcome.PINNED and cache.pin(other, 2) is PinOutcome.OVER_BUDGET
    assert cache.pinned == 2 and not cache.reserve(3)
    cache.return_pages(take(cache, 2))
    assert cache.match(TOKENS, ["a"], 999).tokens == 2 * PAGE_TOKENS
    assert cache.pin(pinned, 2) is PinOutcome.PINNED, (
        "a second document on the same pages takes no more of them"
    )
    cache.unpin(pinned)
    assert cache.pinned == 2 and not cache.reserve(3)
    cache.unpin(pinned)
    assert cache.pinned == 0 and cache.reserve(4)
    assert cache.check([]) == []


def test_a_page_that_is_not_resident_cannot_be_pinned_and_a_forgotten_one_is_no_more() -> None:
    cache = make_cache(2)
    stored = cache.add_stored("a", None, TOKENS[:PAGE_TOKENS])
    assert cache.pin([stored], 9) is PinOutcome.ABSENT
    (node,) = keep(cache, (10, *TOKENS[:9]))
    assert cache.pin([node], 1) is PinOutcome.PINNED
    cache.discard(node)
    assert cache.pinned == 0 and cache.check([]) == []
    cache.unpin([node])
    assert cache.pinned == 0 and cache.check([]) == []


def test_a_page_that_arrives_for_a_forgotten_node_is_free_again() -> None:
    cache = make_cache(2)
    node = cache.add_stored("a", None, TOKENS[:PAGE_TOKENS])
    (page,) = take(cache, 1)
    cache.discard(node)
    assert not cache.attach_loaded(node, page)
    assert cache.check([]) == [] and cache.occupancy().free == 2


def test_the_second_of_two_arrivals_is_free_again() -> None:
    cache = make_cache(2)
    node = cache.add_stored("a", None, TOKENS[:PAGE_TOKENS])
    first, second = take(cache, 2)
    assert cache.attach_loaded(node, first) and not cache.attach_loaded(node, second)
    assert node.page == first and cache.check([]) == []


def test_a_bad_stored_copy_is_forgotten_unless_memory_has_the_page() -> None:
    cache = make_cache(2)
    (resident,) = keep(cache, TOKENS[:10], stored=True)
    cache.discard_if_absent(resident)
    assert cache.match(TOKENS, ["a"], 10).tokens == 10
    absent = cache.add_stored("b", None, TOKENS[:PAGE_TOKENS])
    cache.add_stored("b", absent, TOKENS[PAGE_TOKENS:300])
    cache.discard_if_absent(absent)
    assert cache.match(TOKENS, ["b"], 300).tokens == 0
    assert cache.check([]) == []


def test_pages_for_rounds_up() -> None:
    assert [pages_for(n) for n in (0, 1, 255, 256, 257)] == [0, 1, 1, 1, 2]

"""Pages reserved for a running sequence can be taken, whatever other operations come between."""

from __future__ import annotations

import time

import pytest

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache, PinOutcome
from kvproxy.engine.cache.page_io import PageIO
from kvproxy.engine.cache.page_pins import most_pinned
from kvproxy.engine.cache.page_writer import PageWriter
from kvproxy.engine.loop.sequence import Phase
from kvproxy.errors import Overloaded
from tests.engine.cache.small_cache import TOKENS, keep, make_cache
from tests.engine.harness import HarnessMaker
from tests.engine.stepped import SteppedModel
from tests.engine.tiny import prompt

PAGE = TOKENS[:PAGE_TOKENS]
NEXT = TOKENS[PAGE_TOKENS : 2 * PAGE_TOKENS]


def take_all(cache: KVCache, count: int, *others: int) -> None:
    """Redeem every reservation, while sequences hold ``others``."""
    pages = [cache.take(None) for _ in range(count)]
    assert cache.check([pages, others]) == []
    cache.return_pages(pages)


def test_reserved_pages_are_not_pinned() -> None:
    cache = make_cache(4)
    nodes = keep(cache, TOKENS[: 2 * PAGE_TOKENS])
    assert cache.reserve(3)
    assert cache.pin(nodes, 4) is PinOutcome.BUSY
    assert cache.pinned == 0 and cache.check([]) == []
    assert cache.pin(nodes[:1], 4) is PinOutcome.PINNED, "one page more than was reserved"
    take_all(cache, 3)
    cache.unpin(nodes)


def test_reserved_pages_are_not_retained() -> None:
    cache = make_cache(4)
    nodes = keep(cache, TOKENS[: 2 * PAGE_TOKENS])
    assert cache.reserve(3)
    assert not cache.retain(nodes)
    take_all(cache, 3)


def test_a_reservation_is_complete_or_nothing_changes() -> None:
    cache = make_cache(4)
    nodes = keep(cache, TOKENS[: 2 * PAGE_TOKENS])
    assert not cache.retain_and_reserve(nodes, 3)
    assert cache.occupancy().evictable == 2 and cache.reserve(4)
    cache.unreserve(4)
    assert cache.retain_and_reserve(nodes, 2)
    take_all(cache, 2)
    cache.release(nodes)


def test_a_page_registered_below_another_copy_does_not_keep_reserved_pages() -> None:
    """Its parent's page is another sequence's copy. That sequence has ended, and its page is reserved."""
    cache = make_cache(4)
    assert cache.reserve(3)
    theirs, ours, second = cache.take(None), cache.take(None), cache.take(None)
    parent = cache.register("a", None, PAGE, theirs)
    assert cache.register("a", None, PAGE, ours) is parent, "theirs is in use, and stays"
    cache.return_pages([theirs])
    assert cache.reserve(2)
    assert cache.register("a", parent, NEXT, second) is None
    assert cache.check([[ours, second]]) == []
    take_all(cache, 2, ours, second)
    assert cache.register("a", None, PAGE, ours) is not None
    cache.return_pages([ours, second])


def test_a_loaded_page_keeps_nothing_more_than_retaining_its_node_did() -> None:
    """It hangs below a tenant's copy of a page that its reader takes from a public document."""
    cache = make_cache(4)
    (public,) = keep(cache, PAGE, "public")
    (tenant,) = keep(cache, PAGE, "a")
    second = cache.add_stored("a", tenant, NEXT)
    match = cache.match((*PAGE, *NEXT), ("public", "a"), 2 * PAGE_TOKENS)
    assert match.nodes == (public, second)
    assert not cache.retain_and_reserve(match.nodes, 3), "three pages, beside the two that lead to it"
    assert cache.retain_and_reserve(match.nodes, 2)
    page = cache.take(None)
    assert cache.attach_loaded(second, page)
    assert cache.check([]) == []
    take_all(cache, 1)
    cache.release(match.nodes)
    assert cache.check([]) == [] and cache.reserve(4)


def test_a_retained_page_that_is_forgotten_keeps_nothing() -> None:
    cache = make_cache(2)
    (first,) = keep(cache, PAGE)
    second = cache.add_stored("a", first, NEXT)
    assert cache.retain([second])
    assert cache.occupancy().evictable == 0
    cache.discard_if_absent(second)
    assert cache.occupancy().evictable == 1 and cache.check([]) == []
    cache.release([second])
    assert cache.check([]) == []


def test_pages_that_may_not_be_retained_now_are_reported_and_not_written() -> None:
    cache = make_cache(2)
    nodes = keep(cache, TOKENS[: 2 * PAGE_TOKENS])
    assert cache.reserve(2)
    io = PageIO(None, cache.pool, lambda call: None)
    said: list[Exception | None] = []
    PageWriter(cache, io).save(nodes, said.append)
    io.close()
    assert isinstance(said[0], Overloaded) and said[0].retry_after_s == 1
    take_all(cache, 2)


def test_a_chain_longer_than_the_stack_is_deep_is_forgotten() -> None:
    cache = make_cache(1)
    first = node = cache.add_stored("a", None, PAGE)
    for _ in range(3000):
        node = cache.add_stored("a", node, PAGE)
    cache.discard(first)
    assert len(cache.index) == 0 and cache.check([]) == []


def test_a_publishers_pin_ends_no_request(rigs: HarnessMaker, stepped: SteppedModel) -> None:
    rig = rigs(stepped.model, pages=6)
    document = prompt(1, 700)
    rig.run(document, max_tokens=0)
    nodes = rig.on_engine(lambda: rig.cache.match((*document, 1), ("a",), 700)).nodes
    stepped.hold()
    long = rig.submit(prompt(2, 1300), max_tokens=2)
    while long.sequence.phase is not Phase.PREFILL:
        time.sleep(0.001)
    other = rig.submit(prompt(3, 100), max_tokens=2)
    outcomes: list[PinOutcome] = []
    call = rig.engine.call(lambda: outcomes.append(rig.cache.pin(nodes, most_pinned(rig.cache))))
    stepped.go()
    call.result(30)
    assert long.end().error is None and other.end().error is None
    assert outcomes == [PinOutcome.BUSY]
    assert long.answer == rigs(pages=6).cold(prompt(2, 1300), max_tokens=2).answer


@pytest.mark.parametrize("outcome", [PinOutcome.OVER_BUDGET, PinOutcome.ABSENT])
def test_each_reason_is_told_from_the_others(outcome: PinOutcome) -> None:
    cache = make_cache(2)
    nodes = keep(cache, PAGE)
    absent = cache.add_stored("b", None, PAGE)
    asked = {PinOutcome.OVER_BUDGET: (nodes, 0), PinOutcome.ABSENT: ([absent], 2)}[outcome]
    assert cache.pin(*asked) is outcome

"""Kept pages of one prefix in the index: found as far as they are there, and discarded no further than asked."""

from __future__ import annotations

import pytest

from kvproxy.backends.embedded.kept_pages import (
    add_stored_pages,
    discard_pages,
    kept_cost,
    tokens_in_memory,
)
from kvproxy.core import PAGE_TOKENS, PUBLIC, Kept, KeptPage, stored_key
from kvproxy.engine.cache.kv_cache import KVCache
from tests.engine.cache.small_cache import TOKENS, keep, make_cache, take
from tests.engine.cache.test_page_costs import timed

LONG = TOKENS[: 2 * PAGE_TOKENS + 100]
OWN = "tenant:a"


def kept_of(tokens: tuple[int, ...] = LONG) -> Kept:
    """The record of a prefix, as another process has left it: page keys hang on the engine and the tokens alone."""
    nodes = keep(make_cache(), tokens)
    pages = tuple(KeptPage(node.key, len(node.token_ids)) for node in nodes)
    return Kept("test", tokens, pages, 0, 0.5)


KEPT = kept_of()


def found(cache: KVCache, scope: str = PUBLIC, tokens: tuple[int, ...] = LONG) -> int:
    return cache.match((*tokens, 0), [scope], len(tokens)).tokens


def test_pages_on_disk_are_found_after_a_restart() -> None:
    cache = make_cache()
    assert add_stored_pages(cache, KEPT, PUBLIC, lambda key: True) == len(LONG) == found(cache)
    assert tokens_in_memory(cache, KEPT, PUBLIC) == 0 and found(cache, OWN) == 0
    assert add_stored_pages(cache, KEPT, PUBLIC, lambda key: True) == len(LONG)
    assert len(cache.index) == 3 and cache.check([]) == []


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_nothing_behind_a_page_that_is_not_there_is_added(missing: int) -> None:
    cache, absent = make_cache(), KEPT.pages[missing].key
    assert add_stored_pages(cache, KEPT, PUBLIC, lambda key: key != absent) == missing * PAGE_TOKENS
    assert found(cache) == missing * PAGE_TOKENS


def test_pages_are_looked_for_under_their_scope() -> None:
    asked: list[bytes] = []

    def has(key: bytes) -> bool:
        asked.append(key)
        return True

    add_stored_pages(make_cache(), KEPT, OWN, has)
    assert asked == [stored_key(page.key, OWN) for page in KEPT.pages]
    assert not set(asked) & {page.key for page in KEPT.pages}


def test_all_pages_are_discarded_in_one_scope_alone() -> None:
    cache = make_cache(8)
    keep(cache, LONG, PUBLIC)
    keep(cache, LONG, OWN)
    discard_pages(cache, KEPT, OWN, frozenset())
    assert (found(cache, OWN), found(cache)) == (0, len(LONG))
    assert cache.check([]) == []
    discard_pages(cache, KEPT, OWN, frozenset())
    assert found(cache) == len(LONG), "what is gone is passed over"


def test_pages_that_another_document_keeps_stay() -> None:
    cache = make_cache(8)
    keep(cache, LONG, PUBLIC)
    other = (*LONG[:PAGE_TOKENS], *reversed(LONG[PAGE_TOKENS:]))
    keep(cache, other, PUBLIC)
    discard_pages(cache, KEPT, PUBLIC, frozenset({KEPT.pages[0].key}))
    assert found(cache) == PAGE_TOKENS and found(cache, tokens=other) == len(other)
    discard_pages(cache, KEPT, PUBLIC, frozenset(page.key for page in KEPT.pages))
    assert found(cache) == PAGE_TOKENS and cache.check([]) == []


def test_tokens_in_memory_end_with_the_first_page_on_disk() -> None:
    cache = make_cache(4)
    keep(cache, LONG, PUBLIC, stored=True)
    assert tokens_in_memory(cache, KEPT, PUBLIC) == len(LONG)
    assert tokens_in_memory(cache, KEPT, OWN) == 0
    held = take(cache, 2)
    assert found(cache) == len(LONG)
    assert tokens_in_memory(cache, KEPT, PUBLIC) == 2 * PAGE_TOKENS, "leaves are evicted first"
    cache.return_pages(held)


def test_the_cost_is_of_the_tier_that_has_the_pages_and_of_the_tokens() -> None:
    cache = make_cache()
    add_stored_pages(cache, KEPT, PUBLIC, lambda key: True)
    timed(cache.costs, 0.5)
    timed(cache.costs, 8.0, far=True)
    near = kept_cost(cache, KEPT, PUBLIC)
    assert near.load_s == pytest.approx(3 * 0.5)
    assert near.compute_s == pytest.approx(
        sum(cache.costs.compute_s(i, page.tokens) for i, page in enumerate(KEPT.pages))
    )
    assert near.compute_s < 3 * cache.costs.compute_s(0), "the last page is not full"
    cache.far = lambda node: node.index == 2
    assert kept_cost(cache, KEPT, PUBLIC).load_s == pytest.approx(2 * 0.5 + 8.0)
    assert kept_cost(cache, KEPT, OWN).load_s == pytest.approx(3 * 0.5), (
        "of pages that nobody knows the place"
    )

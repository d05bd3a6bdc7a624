from __future__ import annotations

from kvproxy.backends.base import Kept
from kvproxy.backends.fake.fake_prefixes import FakePrefixes, pages_of
from kvproxy.core import PUBLIC, Caller

ANN, BOB = Caller("ann", "tenant:ann"), Caller("bob", "tenant:bob")
TOKENS = tuple(range(600))


def kept_of(token_ids: tuple[int, ...]) -> Kept:
    return Kept("fake", token_ids, pages_of(token_ids), 0, 0.0)


def test_a_page_is_named_by_all_tokens_up_to_its_end() -> None:
    whole, other = pages_of(TOKENS), pages_of((*TOKENS[:300], -1, *TOKENS[301:]))
    assert [page.tokens for page in whole] == [256, 256, 88]
    assert [a == b for a, b in zip(whole, other, strict=True)] == [True, False, False]


def test_a_prefix_is_found_by_its_readers_and_remembered_when_it_is_gone() -> None:
    prefixes = FakePrefixes(set())
    prefixes.keep(ANN.scope, TOKENS)
    assert (prefixes.resident(TOKENS, ANN), prefixes.resident(TOKENS, BOB)) == (599, 0)
    assert not prefixes.seen(TOKENS, ANN)
    prefixes.evict()
    assert prefixes.resident(TOKENS, ANN) == 0
    assert prefixes.seen(TOKENS, ANN) and not prefixes.seen(TOKENS, BOB)


def test_pages_of_one_scope_are_another_ones_only_where_it_may_reuse_them() -> None:
    prefixes = FakePrefixes(set())
    assert prefixes.store("tenant:ann", TOKENS[:512], reuse=()) == 0
    assert prefixes.store("tenant:bob", TOKENS, reuse=()) == 0
    assert prefixes.store(PUBLIC, TOKENS, reuse=("tenant:ann",)) == 512


def test_what_is_on_disk_is_restored_up_to_the_first_page_that_is_not() -> None:
    disk: set[bytes] = set()
    FakePrefixes(disk).store(PUBLIC, TOKENS, reuse=())
    kept, again = kept_of(TOKENS), FakePrefixes(disk)
    assert again.restore(kept, PUBLIC) == 600 and again.longest(TOKENS, (PUBLIC,)) == 600
    again.forget(kept, PUBLIC, frozenset({kept.pages[0].key}))
    assert again.longest(TOKENS, (PUBLIC,)) == 0
    assert again.restore(kept, PUBLIC) == 256


def test_a_prefix_stays_pinned_until_the_last_pin_is_undone() -> None:
    prefixes, kept = FakePrefixes(set()), kept_of(TOKENS)
    prefixes.pin(kept, PUBLIC)
    prefixes.pin(kept, PUBLIC)
    prefixes.unpin(kept, PUBLIC)
    assert prefixes.pinned == {(PUBLIC, TOKENS): 3} and len(prefixes.pinned_pages()) == 3
    prefixes.unpin(kept, PUBLIC)
    assert prefixes.pinned == {} and prefixes.pinned_pages() == set()

from __future__ import annotations

from kvproxy.core import PAGE_TOKENS, Kept, KeptPage, Residency
from tests.engine.cache.small_cache import TOKENS, keep, make_cache, take


def test_a_retained_match_keeps_its_pages_until_its_block_ends() -> None:
    cache = make_cache(2)
    keep(cache, TOKENS[:300])
    with cache.retain_match(TOKENS[:301], ["a"]) as match:
        assert match.tokens == 300
        assert not cache.reserve(1)
    assert cache.reserve(2)


def test_a_retained_match_never_takes_the_last_token() -> None:
    cache = make_cache(2)
    keep(cache, TOKENS[:300])
    with cache.retain_match(TOKENS[:300], ["a"]) as match:
        assert match.tokens == 299


def test_a_retained_match_cannot_take_reserved_pages() -> None:
    """Else a running request would find no page in the middle of its prompt."""
    cache = make_cache(4)
    keep(cache, TOKENS[:300])
    assert cache.reserve(3)
    with cache.retain_match(TOKENS[:400], ["a"]) as match:
        assert match.tokens == 0
        pages = [cache.take(None) for _ in range(3)]
    cache.return_pages(pages)
    assert cache.check([]) == []
    with cache.retain_match(TOKENS[:400], ["a"]) as match:
        assert match.tokens == PAGE_TOKENS, "one page was evicted, its parent is still there"


def test_a_stored_page_stays_known_after_eviction() -> None:
    cache = make_cache(3)
    nodes = keep(cache, TOKENS[:600], stored=True)
    held = take(cache, 3)
    match = cache.match(TOKENS, ["a"], 999)
    assert match.nodes == tuple(nodes) and match.tokens == 600
    assert [n.page for n in nodes] == [None] * 3
    cache.return_pages(held)
    assert cache.check([]) == []
    assert not cache.seen(TOKENS, ["a"])


def test_an_unstored_page_is_forgotten_and_remembered_as_seen() -> None:
    cache = make_cache(1)
    keep(cache, TOKENS[:PAGE_TOKENS])
    held = take(cache, 1)
    assert cache.match(TOKENS, ["a"], 999).tokens == 0
    assert cache.seen(TOKENS, ["a"]) and not cache.seen(TOKENS, ["b"])
    cache.return_pages(held)


def test_residency_counts_each_page_in_its_nearest_tier() -> None:
    cache = make_cache(4)
    nodes = keep(cache, TOKENS[:600], stored=True)
    pages = tuple(KeptPage(node.key, len(node.token_ids)) for node in nodes)
    kept = Kept("test", TOKENS[:600], pages, 0, 0.0)
    far = {nodes[2]}

    def residency() -> Residency:
        found = cache.residency(kept, ["a"], lambda node: node in far)
        assert found.tokens == cache.resident(kept.pages, kept.token_ids, ["a"])
        return found

    assert residency() == Residency(memory=600)
    held = take(cache, 2)
    assert residency() == Residency(memory=512, objects=88), "one was free, and the last page gave way"
    held += take(cache, 1)
    assert residency() == Residency(memory=256, disk=256, objects=88)
    assert cache.residency(kept, ["b"], lambda node: False) == Residency()
    cache.return_pages(held)

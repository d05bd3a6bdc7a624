from __future__ import annotations

from kvproxy.backends.embedded.kept_pages import add_stored_pages, discard_pages, tokens_in_memory
from kvproxy.core import PAGE_TOKENS, PUBLIC, Kept, KeptPage
from tests.engine.cache.small_cache import TOKENS, keep, make_cache, take

LENGTH = 2 * PAGE_TOKENS + 40


def test_tokens_are_counted_from_the_first_page_on_that_is_in_memory() -> None:
    cache = make_cache(4)
    nodes = keep(cache, TOKENS[:LENGTH], PUBLIC, stored=True)
    pages = tuple(KeptPage(node.key, len(node.token_ids)) for node in nodes)
    kept = Kept("f", TOKENS[:LENGTH], pages, 1, 0.0)
    assert tokens_in_memory(cache, kept, PUBLIC) == LENGTH
    assert tokens_in_memory(cache, kept, "a") == 0, "another scope's pages"
    cache.return_pages(take(cache, 2))  # the last page makes room
    assert tokens_in_memory(cache, kept, PUBLIC) == 2 * PAGE_TOKENS
    assert add_stored_pages(cache, kept, PUBLIC, lambda key: True) == LENGTH, "on disk all the same"
    discard_pages(cache, kept, PUBLIC, frozenset([pages[0].key]))
    assert tokens_in_memory(cache, kept, PUBLIC) == PAGE_TOKENS

"""`stored_cache`: a cache that has prefixes, in pages that hold no numbers, to measure lookups alone."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache, pages_for
from kvproxy.engine.cache.page_key import root_key
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex


def stored_cache(prefixes: Iterable[tuple[str, tuple[int, ...]]]) -> KVCache:
    """Return a cache that has the pages of these (scope, token ids) in memory.

    Example:
        ``cache = stored_cache([("public", prefix.token_ids)])``
    """
    prefixes = list(prefixes)
    pages = sum(pages_for(len(token_ids)) for _, token_ids in prefixes)
    pool = PagePool(PageShape(1, 1, 8, torch.float32), pages + 1, torch.device("cpu"))
    cache = KVCache(pool, PrefixIndex(root_key("bench")))
    for scope, token_ids in prefixes:
        parent: Node | None = None
        for start in range(0, len(token_ids), PAGE_TOKENS):
            assert cache.reserve(1)
            page = cache.take(None)
            parent = cache.register(scope, parent, token_ids[start : start + PAGE_TOKENS], page)
            cache.return_pages([page])
    return cache

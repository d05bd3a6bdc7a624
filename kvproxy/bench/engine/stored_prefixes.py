"""`stored_cache`: a cache whose index knows prefixes and whose pages hold no numbers, to measure lookups alone."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_key import root_key
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex


def stored_cache(prefixes: Iterable[tuple[str, tuple[int, ...]]]) -> KVCache:
    """Return a cache that finds these (scope, token ids) in full, as pages that are on disk.

    Example:
        ``cache = stored_cache([("public", prefix.token_ids)])``
    """
    pool = PagePool(PageShape(1, 1, 8, torch.float32), 2, torch.device("cpu"))
    cache = KVCache(pool, PrefixIndex(root_key("bench")))
    for scope, token_ids in prefixes:
        parent: Node | None = None
        for start in range(0, len(token_ids), PAGE_TOKENS):
            parent = cache.add_stored(scope, parent, token_ids[start : start + PAGE_TOKENS])
    return cache

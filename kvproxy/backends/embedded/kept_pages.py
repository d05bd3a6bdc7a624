"""Kept pages of one published prefix in the prefix index: added when they are on disk, discarded when unpublished.

For the engine thread, except ``DeletableStore``, ``tokens_in_memory`` and ``kept_cost``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kvproxy.core import Kept, KeptCost, stored_key
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.prefix_index import Node


class DeletableStore(Protocol):
    """A page store that can delete pages."""

    def has(self, key: bytes) -> bool:
        """Tell whether a page is stored under ``key``."""

    def tier(self, key: bytes) -> str | None:
        """Return the nearest tier that has the page: ``disk`` or ``objects``; None for neither."""

    def delete(self, keys: list[bytes]) -> int:
        """Delete the page under ``key``, if there is one."""


def add_stored_pages(cache: KVCache, kept: Kept, scope: str, has: Callable[[bytes], bool]) -> int:
    """Add the prefix's pages that are on disk to the index, up to the first that is not; return their positions.

    Example: ``add_stored_pages(cache, kept, PUBLIC, store.has)``
    """
    parent: Node | None = None
    done = 0
    for page in kept.pages:
        if not has(stored_key(page.key, scope)):
            break
        parent = cache.add_stored(scope, parent, kept.token_ids[done : done + page.tokens])
        done += page.tokens
    return done


def discard_pages(cache: KVCache, kept: Kept, scope: str, still_kept: frozenset[bytes]) -> None:
    """Discard the prefix's pages from the first one on whose key is not in ``still_kept``.

    Example: ``discard_pages(cache, kept, PUBLIC, frozenset())``
    """
    parent_key, done = cache.index.root, 0
    for page in kept.pages:
        tokens = kept.token_ids[done : done + page.tokens]
        node = cache.find(scope, parent_key, page.key, tokens)
        if node is None:
            return
        if page.key not in still_kept:
            cache.discard(node)
            return
        parent_key, done = page.key, done + page.tokens


def tokens_in_memory(cache: KVCache, kept: Kept, scope: str) -> int:
    """Count the tokens of a prefix that need neither be read nor computed, from its first page on. Any thread.

    Example: ``tokens_in_memory(cache, kept, PUBLIC)``
    """
    parent_key, done = cache.index.root, 0
    for page in kept.pages:
        node = cache.find(scope, parent_key, page.key, kept.token_ids[done : done + page.tokens])
        if node is None or node.page is None:
            break
        parent_key, done = page.key, done + page.tokens
    return done


def kept_cost(cache: KVCache, kept: Kept, scope: str) -> KeptCost:
    """Estimate what a prefix costs once it is out of memory, from measured speeds. Any thread, O(pages).

    Example: ``kept_cost(cache, kept, PUBLIC)``
    """
    parent_key, done, load_s, compute_s = cache.index.root, 0, 0.0, 0.0
    for index, page in enumerate(kept.pages):
        node = cache.find(scope, parent_key, page.key, kept.token_ids[done : done + page.tokens])
        load_s += cache.costs.load_s_of(far=node is not None and cache.far(node))
        compute_s += cache.costs.compute_s(index, page.tokens)
        parent_key, done = page.key, done + page.tokens
    return KeptCost(load_s, compute_s)

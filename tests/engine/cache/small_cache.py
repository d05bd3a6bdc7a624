"""A small cache, and the steps of a sequence in it: pages taken, computed, registered and returned."""

from __future__ import annotations

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache, pages_for
from kvproxy.engine.cache.page_key import root_key
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex

SHAPE = PageShape(layers=1, kv_heads=1, head_dim=2, dtype=torch.float32)
TOKENS = tuple(range(1, 4 * PAGE_TOKENS + 1))


def make_cache(pages: int = 4) -> KVCache:
    return KVCache(PagePool(SHAPE, pages + 1, torch.device("cpu")), PrefixIndex(root_key("test")))


def keep(cache: KVCache, tokens: tuple[int, ...], scope: str = "a", *, stored: bool = False) -> list[Node]:
    """Compute and register a prefix as a sequence does, and let the sequence end."""
    assert cache.reserve(pages_for(len(tokens)))
    pages: list[int] = []
    nodes: list[Node] = []
    for start in range(0, len(tokens), PAGE_TOKENS):
        pages.append(cache.take(pages[-1] if pages else None))
        node = cache.register(
            scope, nodes[-1] if nodes else None, tokens[start : start + PAGE_TOKENS], pages[-1]
        )
        assert node is not None
        if stored:
            cache.mark_stored(node)
        nodes.append(node)
    cache.return_pages(pages)
    assert cache.check([]) == []
    return nodes


def take(cache: KVCache, count: int) -> list[int]:
    assert cache.reserve(count)
    return [cache.take(None) for _ in range(count)]

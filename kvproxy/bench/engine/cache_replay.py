"""A trace of requests against the real cache, index and policy, with a pool of pages but no model."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.eviction_policy import (
    EvictionPolicy,
    FarthestNext,
    GreedyDual,
    LeastFrequent,
    LeastRecent,
)
from kvproxy.engine.cache.kv_cache import KVCache, pages_for
from kvproxy.engine.cache.page_costs import PageCosts, PageWork
from kvproxy.engine.cache.page_key import root_key
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex, PrefixMatch

POLICIES = ("value", "lru", "lfu", "farthest")
"""The default policy, LRU, LFU, and the one that knows the next use of each page."""
_SHAPE = PageShape(layers=1, kv_heads=1, head_dim=1, dtype=torch.float32)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request. Whole pages within ``token_ids[:shared_end]`` are public, the rest is ``scope``'s; behind
    shared pages the rest is never asked for again. ``next_use``: the number of the request that takes it again."""

    scope: str
    token_ids: tuple[int, ...]
    shared_end: int = 0
    next_use: float = math.inf


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """Sums over a trace. ``work`` is the whole prefill without any reuse, in floating point operations."""

    tokens: int
    cached_tokens: int
    work: float
    saved_work: float
    evictions: int
    cache_s: float
    """Time in the cache's own methods."""


def replay(visits: Iterable[Visit], pages: int, work: PageWork, policy: str) -> ReplayOutcome:
    """One request after another, in ``pages`` pages. Raises AssertionError when the books do not balance.

    Example: ``replay(visits, 512, work, "value")``
    """
    player = _Player(pages, work, policy)
    for visit in visits:
        player.serve(visit)
    faults = player.cache.check([])
    assert not faults, faults
    return player.outcome()


class _Player:
    def __init__(self, pages: int, work: PageWork, policy: str) -> None:
        costs = PageCosts(work, _SHAPE.bytes)
        chosen: dict[str, EvictionPolicy] = {
            "value": GreedyDual(costs, pages),
            "lru": LeastRecent(),
            "lfu": LeastFrequent(),
            "farthest": FarthestNext(),
        }
        self._policy = chosen[policy]
        pool = PagePool(_SHAPE, pages + 1, torch.device("cpu"))
        self.cache = KVCache(pool, PrefixIndex(root_key("replay")), costs, self._policy)
        self._work = work
        self._tokens = self._cached = self._evictions = 0
        self._done = self._saved = self._seconds = 0.0

    def outcome(self) -> ReplayOutcome:
        return ReplayOutcome(
            self._tokens, self._cached, self._done, self._saved, self._evictions, self._seconds
        )

    def serve(self, visit: Visit) -> None:
        """As the engine does: match, promise, share, compute the rest, register, let go."""
        cache, size = self.cache, len(visit.token_ids)
        if isinstance(self._policy, FarthestNext):
            self._policy.next_use = visit.next_use
            self._policy.never = visit.scope if visit.shared_end else ""
        self._tokens += size
        self._done += self._work.span(0, size)
        began = time.perf_counter()
        match = cache.match(visit.token_ids, (visit.scope, "public"), size - 1)
        whole = match.tokens // PAGE_TOKENS
        need = pages_for(size) - whole
        if not cache.retain_and_reserve(match.nodes, need):
            match, whole, need = PrefixMatch((), 0), 0, pages_for(size)
            if not cache.reserve(need):
                return  # larger than the pool
        cache.note_use(match.nodes)
        full = match.nodes[:whole]
        held = [cache.share(node) for node in full]
        before = cache.occupancy().free
        held += [cache.take(held[-1] if held else None) for _ in range(need)]
        self._evictions += max(0, need - before)
        cache.release(match.nodes)
        self._register(visit, list(full), held)
        cache.return_pages(held)
        self._seconds += time.perf_counter() - began
        self._cached += match.tokens
        self._saved += self._work.span(0, match.tokens)

    def _register(self, visit: Visit, chain: list[Node], pages: list[int]) -> None:
        for index, (scope, tokens) in enumerate(_pages(visit)):
            if index < len(chain):
                continue
            node = self.cache.register(scope, chain[-1] if chain else None, tokens, pages[index])
            assert node is not None
            chain.append(node)


def _pages(visit: Visit) -> Iterator[tuple[str, tuple[int, ...]]]:
    for start in range(0, len(visit.token_ids), PAGE_TOKENS):
        tokens = visit.token_ids[start : start + PAGE_TOKENS]
        whole = start + PAGE_TOKENS <= visit.shared_end
        yield "public" if whole else visit.scope, tokens

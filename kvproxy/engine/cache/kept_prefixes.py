"""`KeptPrefixes`: lookups in the prefix index under the cache's lock: what is kept of a prompt, and in which tier."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from kvproxy.core import Kept, KeptPage, KnownPrefix, Residency
from kvproxy.engine.cache.load_or_recompute import worth_taking
from kvproxy.engine.cache.page_costs import PageCosts
from kvproxy.engine.cache.page_ledger import PageLedger
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex, PrefixMatch


class KeptPrefixes:
    """The side of ``KVCache`` that looks prefixes up, and takes or adds no page. Methods lock for themselves.

    ``retain_match``, ``seen``, ``resident`` and ``residency`` may be called on any thread.
    """

    def __init__(self, index: PrefixIndex, ledger: PageLedger, costs: PageCosts) -> None:
        """Look up in ``index``; what is retained is counted in ``ledger``, and both are under one lock from now on.

        Example: ``KeptPrefixes(index, PageLedger(pool, eviction_heap), PageCosts(UNIFORM, pool.shape.bytes))``
        """
        self.index = index
        self.costs = costs
        self._ledger = ledger
        self._lock = threading.Lock()
        self.far: Callable[[Node], bool] = lambda node: False
        """Returns whether a node's page must come from an object store: it costs more then. No I/O."""

    @contextmanager
    def retain_match(
        self, token_ids: Sequence[int], scopes: Sequence[str], known: KnownPrefix | None = None
    ) -> Iterator[PrefixMatch]:
        """Look up a prompt and retain the nodes that were found until the block ends.

        The last prompt token is never taken from the cache: its logits give the first new token. The match is empty
        where retaining it would break a reservation: those pages are as good as evicted. So are pages on disk that are
        dearer to load than to compute. ``known``: a published prefix that the prompt begins with, whose page keys are
        not computed again.

        Example: ``with cache.retain_match(token_ids, ("public", "tenant:a")) as match: ...``
        """
        limit = len(token_ids) - 1
        keys = self.index.keys(token_ids, scopes, limit, known)
        with self._lock:
            found = self.index.match(token_ids, scopes, limit, keys, known)
            found = self._worth_taking(found, 0)
            if not self._ledger.retain(found.nodes):
                found = PrefixMatch((), 0)
        try:
            yield found
        finally:
            with self._lock:
                self._ledger.release(found.nodes)

    def seen(self, token_ids: Sequence[int], scopes: Sequence[str]) -> bool:
        """Return whether the first page of this prompt was kept once and has been evicted since."""
        with self._lock:
            return self.index.seen(token_ids, scopes)

    def resident(self, pages: Sequence[KeptPage], token_ids: Sequence[int], scopes: Sequence[str]) -> int:
        """Count the tokens of a kept prefix that a lookup would find, in memory or on disk.

        For figures: full pages are found by their keys alone.

        Example: ``cache.resident(kept.pages, kept.token_ids, scopes)``
        """
        with self._lock:
            return self.index.resident(pages, token_ids, scopes)

    def residency(
        self,
        kept: Kept,
        scopes: Sequence[str],
        is_far: Callable[[Node], bool],
    ) -> Residency:
        """Count the tokens of a kept prefix that a lookup would find, by tier; ``is_far`` tells of a stored node's page
        whether it is in an object store only. For figures, as :meth:`resident`.

        Example: ``cache.residency(kept, caller.readable, lambda node: False)``
        """
        with self._lock:
            chain = self.index.chain(kept.pages, kept.token_ids, scopes)
            absent = [(node, tokens) for node, tokens in chain if node.page is None]
            near = [node.spilled and not node.stored for node, _ in absent]
        tokens = sum(tokens for _, tokens in chain)
        below = sum(tokens for _, tokens in absent)
        far = sum(t for (node, t), spilled in zip(absent, near, strict=True) if not spilled and is_far(node))
        return Residency(memory=tokens - below, disk=below - far, objects=far)

    def match(
        self,
        token_ids: Sequence[int],
        scopes: Sequence[str],
        limit: int,
        known: KnownPrefix | None = None,
        *,
        least: int = 0,
    ) -> PrefixMatch:
        """Return the longest prefix of ``token_ids[:limit]`` that ``scopes`` may read; nothing is retained.

        Pages on disk that are dearer to load than to compute are left out, behind the first ``least`` positions.

        Example: ``cache.match(token_ids, ("public",), limit=len(token_ids) - 1)``
        """
        keys = self.index.keys(token_ids, scopes, limit, known)
        with self._lock:
            return self._worth_taking(self.index.match(token_ids, scopes, limit, keys, known), least)

    def _worth_taking(self, found: PrefixMatch, least: int) -> PrefixMatch:
        return worth_taking(found, self.costs, self.far, least)

    def find(self, scope: str, parent_key: bytes, key: bytes, token_ids: tuple[int, ...]) -> Node | None:
        """Return the node of exactly this page, or None.

        Example: ``cache.find("public", cache.index.root, kept.pages[0].key, kept.token_ids[:256])``
        """
        with self._lock:
            return self.index.find(scope, parent_key, key, token_ids)

"""`PageEvictor`: evicts pages from memory, to the spill tier or for good, and removes nodes from the prefix index.

Nodes are removed with their last copy, when their document is deleted, and when a copy on disk is damaged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from kvproxy.engine.cache.eviction_heap import EvictionHeap
from kvproxy.engine.cache.page_costs import PageCosts
from kvproxy.engine.cache.page_pool import PagePool
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex
from kvproxy.engine.cache.session_holds import SessionHolds
from kvproxy.engine.cache.spill_tier import SpillFiles, SpillTier


class PageEvictor:
    """A part of the cache, for the engine's thread. :meth:`evict_one` takes the lock; all else is called under it."""

    def __init__(
        self,
        pool: PagePool,
        index: PrefixIndex,
        eviction: EvictionHeap,
        lock: threading.Lock,
        holds: SessionHolds,
    ) -> None:
        """Work on the cache's own parts, under its lock.

        Example: ``PageEvictor(pool, index, eviction_heap, lock, SessionHolds(eviction_heap))``
        """
        self._holds = holds
        self._pool, self._index, self._eviction, self._lock = pool, index, eviction, lock
        self._spill: SpillTier | None = None
        self.pinned = 0
        """Number of pinned pages: nodes with a ``pinned`` above 0."""
        self.evicted = 0
        """Pages that made room for others since the start, spilled ones included."""

    def spill_into(
        self,
        files: SpillFiles,
        costs: PageCosts,
        *,
        failed: Callable[[Node], None],
        done: Callable[[Callable[[], None]], None],
    ) -> SpillTier:
        """Copy pages to ``files`` before they are dropped, from now on; ``failed`` and ``done`` as in ``SpillTier``.

        Example: ``evictor.spill_into(files, costs, failed=cache.discard_if_absent, done=engine.call)``
        """
        self._spill = SpillTier(files, self._pool, costs, lost=self.lost, failed=failed, done=done)
        return self._spill

    @property
    def spilled(self) -> int:
        """Nodes with a copy in the spill tier."""
        return 0 if self._spill is None else len(self._spill)

    def evict_one(self) -> None:
        """Evict the page with the smallest priority.

        A page that goes to the spill tier is copied without the lock, while the node still has it: a lookup that finds
        the node meanwhile keeps the page, and its copy is there already for the next time.

        Raises MemoryError when no page is evictable.
        """
        with self._lock:
            self._holds.expire()
            victim = self._eviction.next_victim()
            spill, copy = self._spill, None
            if spill is not None and not (victim.stored or victim.spilled):
                copy = spill.begin_copy(victim)
            if spill is None or copy is None:
                self._evict(victim)
                return
        assert victim.page is not None
        try:
            spill.fill(copy, victim.page)
        except BaseException:
            with self._lock:
                spill.abandon(copy)
                self._eviction.offer(victim)
            raise
        with self._lock:
            spill.commit(copy)
            victim.spilled = True
            if self._eviction.is_candidate(victim):
                self._evict(victim)

    def _evict(self, victim: Node) -> None:
        self.evicted += 1
        self._eviction.policy.note_eviction(victim)
        if self._spill is not None and victim.spilled:
            self._spill.note_eviction(victim)
        if victim.stored or victim.spilled:
            self._pool.remove_holder(self._eviction.detach(victim))
        else:
            # Children that are only on disk are unreachable without this page; they go with it.
            self.discard(victim)

    def discard(self, node: Node) -> None:
        """Forget a node and everything below it, leaves first.

        A loop, since a chain of pages may be longer than the stack is deep.
        """
        order = [node]
        for at in order:
            order += at.children
        for at in reversed(order):
            self.forget(at)

    def forget(self, node: Node) -> None:
        """Take a leaf out of the index, with its page, its publishers' pins and its spilled copy."""
        if node.page is not None:
            self._pool.remove_holder(self._eviction.detach(node))
        if node.pinned:
            self.pinned -= 1
            self._eviction.retain(node, -node.pinned)
            node.pinned = 0
        node.stored = False
        self._unspill(node)
        self._holds.forget(node)
        self._eviction.node_removed(node)
        self._index.remove(node)

    def replace_shorter(self, node: Node) -> None:
        """Forget the partial pages that ``node`` begins with, and count their uses and holds for it.

        Example: ``evictor.replace_shorter(node)``
        """
        for old in self._index.shorter(node):
            if _outgrown(old, node):
                node.frequency = max(node.frequency, old.frequency)
                self._holds.replace(old, node)
                self.forget(old)

    def stored(self, node: Node) -> None:
        """Record that the node is in the store, and drop its copy in the spill tier."""
        node.stored = True
        self._unspill(node)

    def lost(self, node: Node) -> None:
        """Record that no copy on disk can be used.

        Without its page, the node and all below it are forgotten.
        """
        node.stored = False
        self._unspill(node)
        if node.page is None and self._index.has(node):
            self.discard(node)

    def pin(self, nodes: Sequence[Node]) -> None:
        """Count one publisher more for each node; retaining the nodes is the caller's."""
        for node in nodes:
            self.pinned += node.pinned == 0
            node.pinned += 1

    def unpin(self, node: Node) -> None:
        """Undo :meth:`pin` of one node, and release it; a node that was forgotten meanwhile is passed over."""
        if node.pinned:
            node.pinned -= 1
            self.pinned -= node.pinned == 0
            self._eviction.retain(node, -1)

    def _unspill(self, node: Node) -> None:
        if node.spilled:
            node.spilled = False
            assert self._spill is not None
            self._spill.forget(node)


def _outgrown(old: Node, node: Node) -> bool:
    """Return whether ``node`` replaces a shorter partial page. Readers that hold the old page keep it."""
    size = len(old.token_ids)
    return (
        old is not node
        and old.retained == 0
        and not old.stored
        and size < len(node.token_ids)
        and old.token_ids == node.token_ids[:size]
    )

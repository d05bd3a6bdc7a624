"""`PageLedger`: each page's holders, the retained nodes and the reserved pages, which together let no take fail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvproxy.engine.cache.eviction_heap import EvictionHeap
from kvproxy.engine.cache.page_pool import PagePool
from kvproxy.engine.cache.prefix_index import Node


class PageLedger:
    """The counts behind ``KVCache``, and its invariant: ``reserved <= available``, after each call.

    Not thread safe: the cache's lock guards it.
    """

    def __init__(self, pool: PagePool, eviction: EvictionHeap) -> None:
        """Start without reservations."""
        self._pool, self._eviction = pool, eviction
        self.reserved = 0
        """Pages that were set aside and not taken yet."""

    @property
    def available(self) -> int:
        """Pages that could be handed out: free or evictable."""
        return self._pool.free + self._eviction.count

    def retain(self, nodes: Sequence[Node], reserve: int = 0) -> bool:
        """Retain nodes and reserve so many pages beside them; or change nothing and return False."""
        for node in nodes:
            self._eviction.retain(node, +1)
        if self.reserved + reserve > self.available:
            self.release(nodes)
            return False
        self.reserved += reserve
        return True

    def release(self, nodes: Iterable[Node]) -> None:
        """Undo one :meth:`retain` of these nodes; its reservation stands."""
        for node in nodes:
            self._eviction.retain(node, -1)

    def unreserve(self, pages: int) -> None:
        """Give back pages that were reserved and not taken."""
        self.reserved -= pages
        assert self.reserved >= 0

    def take_free(self, after: int | None) -> int | None:
        """Redeem a reservation: give a free page to a sequence, or None when a page must be evicted first."""
        if self._pool.free == 0:
            return None
        page = self._pool.allocate(after)
        self._eviction.add_sequence(page)
        self._eviction.policy.note_allocation()
        self.reserved -= 1
        return page

    def undo_take(self, page: int) -> None:
        """Return a page that was just taken, and reserve one again."""
        self.return_page(page)
        self.reserved += 1

    def share(self, node: Node) -> int:
        """Add a sequence to the holders of a resident node's page, and return the page."""
        assert node.page is not None
        self._pool.add_holder(node.page)
        self._eviction.add_sequence(node.page)
        return node.page

    def return_page(self, page: int) -> None:
        """Remove a sequence from the page's holders."""
        self._eviction.remove_sequence(page)
        self._pool.remove_holder(page)

    def attach(self, node: Node, page: int) -> bool:
        """Give a node a page that a sequence holds, unless it has one in use.

        Return False, with nothing changed, when that would break a reservation.
        """
        old = None
        if node.page is not None:
            if node.page == page or not self._eviction.is_evictable(node.page):
                return True
            old = self._eviction.detach(node)
        self._eviction.attach(node, page)
        freed = old is not None and self._pool.refs[old] == 1
        if self.reserved > self.available + freed:
            self._eviction.detach(node)
            if old is not None:
                self._eviction.attach(node, old)
            return False
        self._pool.add_holder(page)
        if old is not None:
            self._pool.remove_holder(old)
        return True

    def attach_loaded(self, node: Node, page: int) -> None:
        """Give a node without a page the one that its stored KV was read into.

        It breaks no reservation: the node is retained, and counts as in use already.
        """
        self._eviction.attach(node, page)
        self._pool.add_holder(page)

    def check(self) -> list[str]:
        """Return every broken rule in words."""
        if 0 <= self.reserved <= self.available:
            return []
        return [f"{self.reserved} pages are reserved, {self.available} are free or evictable"]

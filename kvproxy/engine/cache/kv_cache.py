"""`KVCache`: the page pool and the prefix index under one lock, and the rules between them.

Every page is free or held, by sequences and by index nodes. Pages of nodes that are not in use, retained or pinned may
be evicted, leaves first, least valuable first (``eviction_policy``). A stored node then stays in the index and is
loaded again on demand, and so does a node that the spill tier has a copy of; any other is forgotten.

Two invariants: there are never fewer free and evictable pages than are reserved, so that no ``take`` can fail; and no
byte of a page is copied or cleared under the lock, which the event loop's ``retain_match`` takes too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.eviction_heap import EvictionHeap
from kvproxy.engine.cache.eviction_policy import EvictionPolicy, GreedyDual
from kvproxy.engine.cache.kept_prefixes import KeptPrefixes
from kvproxy.engine.cache.occupancy import Occupancy, holder_faults
from kvproxy.engine.cache.page_costs import UNIFORM, PageCosts
from kvproxy.engine.cache.page_evictor import PageEvictor
from kvproxy.engine.cache.page_ledger import PageLedger
from kvproxy.engine.cache.page_pool import PagePool
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex
from kvproxy.engine.cache.session_holds import HeldPages, SessionHold, SessionHolds
from kvproxy.engine.cache.spill_tier import SpillFiles, SpillTier


class PinOutcome(Enum):
    """The result of :meth:`KVCache.pin`. Nothing has changed unless it is PINNED."""

    PINNED = auto()
    """The pages stay in memory until :meth:`KVCache.unpin`."""
    ABSENT = auto()
    """One of the pages is not in memory."""
    OVER_BUDGET = auto()
    """More pages would be pinned than may be. Waiting does not help."""
    BUSY = auto()
    """The pages are reserved by sequences that run now."""


class KVCache(KeptPrefixes):
    """The KV cache. Methods lock for themselves.

    ``retain_match``, ``seen`` and ``resident`` may be called on any thread, and so may figures; all else belongs to the
    engine's. Pages are only taken and returned by the engine's thread: between two of its own steps of one operation,
    other threads can do no more than retain nodes.
    """

    def __init__(
        self,
        pool: PagePool,
        index: PrefixIndex,
        costs: PageCosts | None = None,
        policy: EvictionPolicy | None = None,
    ) -> None:
        """Build a cache. Without ``costs`` all pages cost alike; without ``policy`` it is GreedyDual over ``costs``.

        Example: ``KVCache(PagePool(shape, 1024, device), PrefixIndex(root_key(model.fingerprint)), costs)``
        """
        costs = costs or PageCosts(UNIFORM, pool.shape.bytes)
        self.pool = pool
        self._eviction = EvictionHeap(pool.total + 1, policy or GreedyDual(costs, pool.total))
        super().__init__(index, PageLedger(pool, self._eviction), costs)
        self._holds = SessionHolds(self._eviction)
        self._evictor = PageEvictor(pool, index, self._eviction, self._lock, self._holds)

    def spill_into(self, files: SpillFiles, done: Callable[[Callable[[], None]], None]) -> SpillTier:
        """Copy pages to ``files`` before they are dropped, from now on.

        ``done`` passes calls to the engine's thread.

        Example: ``cache.spill_into(SpillFolder(path, ...), engine.call)``
        """
        return self._evictor.spill_into(files, self.costs, failed=self.discard_if_absent, done=done)

    def retain(self, nodes: Sequence[Node]) -> bool:
        """Keep nodes from eviction until :meth:`release`.

        Return False, with nothing changed, when that would break a reservation.
        """
        with self._lock:
            return self._ledger.retain(nodes)

    def release(self, nodes: Iterable[Node]) -> None:
        """Undo one :meth:`retain` of these nodes."""
        with self._lock:
            self._ledger.release(nodes)

    def note_use(self, nodes: Iterable[Node]) -> None:
        """Record that a request takes these nodes' KV, which raises their priority. Once for each request."""
        with self._lock:
            for node in nodes:
                self._eviction.note_use(node)

    def hold_session(self, wish: SessionHold, nodes: Sequence[Node]) -> HeldPages:
        """Let nodes give way last for some seconds, or again as usual: see :class:`SessionHolds`.

        Example: ``cache.hold_session(SessionHold("tenant:a", "tenant:a", "chat-7", 300.0, 64), seq.chain)``
        """
        with self._lock:
            return self._holds.hold(wish, [node for node in nodes if self.index.has(node)])

    def reserve(self, pages: int) -> bool:
        """Set pages aside, free or evictable ones; return False when there are not so many.

        Each ``take`` redeems one.
        """
        return self.retain_and_reserve((), pages)

    def retain_and_reserve(self, nodes: Sequence[Node], pages: int) -> bool:
        """Retain ``nodes`` and reserve ``pages`` beside them; or change nothing and return False."""
        with self._lock:
            return self._ledger.retain(nodes, pages)

    def unreserve(self, pages: int) -> None:
        """Give back pages that were reserved and not taken."""
        with self._lock:
            self._ledger.unreserve(pages)

    def take(self, after: int | None, *, whole: bool = False) -> int:
        """Take a reserved page, filled with zeros, evicting if none is free; its neighbour ``after`` where possible.

        ``whole``: every position will be written before the page is read, so that zeros are not needed.

        Where it raises, the reservation stands; it raises MemoryError only if nothing was reserved.
        """
        while True:
            with self._lock:
                page = self._ledger.take_free(after)
            if page is not None:
                break
            self._evictor.evict_one()
        try:
            (self.pool.overwrite if whole else self.pool.clear)(page)
        except BaseException:
            with self._lock:
                self._ledger.undo_take(page)
            raise
        return page

    def share(self, node: Node) -> int:
        """Add a sequence to the holders of a resident node's page, and return the page."""
        with self._lock:
            return self._ledger.share(node)

    def return_pages(self, pages: Iterable[int]) -> None:
        """Remove a sequence from the holders of these pages."""
        with self._lock:
            for page in pages:
                self._ledger.return_page(page)

    def register(self, scope: str, parent: Node | None, token_ids: tuple[int, ...], page: int) -> Node | None:
        """Make a sequence's page findable and return its node, which becomes one of the page's holders.

        Where the index has the prefix already and its page is in use, that page stays and this one remains the
        sequence's own. A page of the index that is not in use gives way to this one, which has the same bits: the nodes
        below it would keep it from eviction, and it may be reserved. None when the prefix was forgotten meanwhile (its
        document was deleted): there is no parent for the node. None, too, while it would break a reservation: in use,
        the node keeps its ancestors in memory, and an ancestor's page may be another sequence's copy, which is not in
        use.

        Example: ``cache.register("tenant:a", parent=None, token_ids=ids[:256], page=page)``
        """
        with self._lock:
            if parent is not None and not self.index.has(parent):
                return None
            node, made = self.index.add(scope, parent, token_ids)
            if not self._ledger.attach(node, page):
                if made:
                    self.index.remove(node)
                return None
            if made:
                self._eviction.note_use(node)
            self._evictor.replace_shorter(node)
            return node

    def add_stored(self, scope: str, parent: Node | None, token_ids: tuple[int, ...]) -> Node:
        """Make a page that is on disk findable, and return its node.

        Example: ``cache.add_stored("public", parent, kept.token_ids[0:256])``
        """
        with self._lock:
            node, _ = self.index.add(scope, parent, token_ids)
            self._evictor.stored(node)
            return node

    def attach_loaded(self, node: Node, page: int) -> bool:
        """Give a node the page that its stored KV was read into.

        Return False, with the page free again, when the node has a page by now or was forgotten.
        """
        with self._lock:
            attached = node.page is None and self.index.has(node)
            if attached:
                self._ledger.attach_loaded(node, page)
            self._ledger.return_page(page)
            return attached

    def mark_stored(self, node: Node) -> None:
        """Record that the node's page is in the store."""
        with self._lock:
            if self.index.has(node):
                self._evictor.stored(node)

    def pin(self, nodes: Sequence[Node], most: int) -> PinOutcome:
        """Keep resident nodes in memory until :meth:`unpin`; ``most``: pages that may be pinned in all.

        Counted for each call.
        """
        with self._lock:
            if any(n.page is None for n in nodes):
                return PinOutcome.ABSENT
            new = sum(1 for n in nodes if n.pinned == 0)
            if self.pinned + new > most:
                return PinOutcome.OVER_BUDGET
            if not self._ledger.retain(nodes):
                return PinOutcome.BUSY
            self._evictor.pin(nodes)
            return PinOutcome.PINNED

    def unpin(self, nodes: Iterable[Node]) -> None:
        """Undo one :meth:`pin`; nodes that were forgotten meanwhile are passed over."""
        with self._lock:
            for node in nodes:
                self._evictor.unpin(node)

    @property
    def pinned(self) -> int:
        """Number of pinned pages."""
        return self._evictor.pinned

    def discard(self, node: Node) -> None:
        """Forget a node and everything below it: its document is gone.

        Sequences that hold the pages keep them; no later lookup finds them.
        """
        with self._lock:
            if self.index.has(node):
                self._evictor.discard(node)

    def discard_if_absent(self, node: Node) -> None:
        """Record that a node's copy on disk cannot be used.

        Without a page in memory, the node and all below it are forgotten.
        """
        with self._lock:
            self._evictor.lost(node)

    def occupancy(self) -> Occupancy:
        """Count pages by use at this moment."""
        with self._lock:
            pool = self.pool
            return Occupancy(
                pool.total,
                pool.free,
                pool.total - pool.free,
                self._eviction.count,
                len(self.index),
                self.pinned,
                self._evictor.spilled,
                self._evictor.evicted,
            )

    def check(self, sequence_pages: Iterable[Sequence[int]]) -> list[str]:
        """Recount every page's holders; [] when free + held == total and each count is right.

        ``sequence_pages``: the pages of every live sequence.
        """
        with self._lock:
            faults = (
                self.index.check()
                + self._eviction.check(self.index)
                + self._ledger.check()
                + self._holds.check()
            )
            pinned = sum(1 for n in self.index if n.pinned)
            spilled = sum(1 for n in self.index if n.spilled)
            if pinned != self.pinned:
                faults.append(f"{pinned} pages are pinned, {self.pinned} are counted")
            if spilled != self._evictor.spilled:
                faults.append(f"{spilled} nodes are spilled, the tier has {self._evictor.spilled} pages")
            return faults + holder_faults(self.pool, self.index, sequence_pages)


def pages_for(tokens: int) -> int:
    """Return the number of pages that ``tokens`` positions take."""
    return -(-tokens // PAGE_TOKENS)

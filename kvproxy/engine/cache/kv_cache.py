"""The KV cache: the page pool and the prefix index under one lock, and the rules between them.

Every page is free or held, by sequences and by index nodes. Nodes with no other holder and no pin may be evicted,
leaves first, least valuable first (``value.py``). A stored node then stays known and is loaded again on demand, and
so is one whose page the spill tier takes; any other is forgotten.

Two invariants: there are never fewer free and evictable pages than were promised, so that no ``take`` can fail; and
no byte of a page is copied or cleared under the lock, which the event loop's ``hold`` takes too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto

from kvproxy.core import PAGE_TOKENS, KeptPage
from kvproxy.engine.cache.eviction_heap import EvictionHeap
from kvproxy.engine.cache.eviction_policy import GreedyDual, EvictionPolicy
from kvproxy.engine.cache.occupancy import Occupancy, holder_faults
from kvproxy.engine.cache.page_costs import UNIFORM, PageCosts
from kvproxy.engine.cache.page_evictor import PageEvictor
from kvproxy.engine.cache.page_pool import PagePool
from kvproxy.engine.cache.prefix_index import Node, PrefixIndex, PrefixMatch
from kvproxy.engine.cache.spill_tier import SpillTier, SpillFiles


class PinOutcome(Enum):
    """The result of :meth:`KVCache.fix`. Nothing has changed unless it is FIXED."""

    PINNED = auto()
    ABSENT = auto()
    """One of the pages is not in memory."""
    OVER_BUDGET = auto()
    """More pages would be fixed than may be. Waiting does not help."""
    BUSY = auto()
    """The pages are promised to sequences that run now."""


class KVCache:
    """Methods lock for themselves. ``hold``, ``seen`` and ``resident`` may be used on any thread, and so may figures;
    all else belongs to the engine's. Pages are only taken and given back by the engine's thread: between two of its
    own steps of one operation, others can do no more than hold."""

    def __init__(
        self,
        pool: PagePool,
        index: PrefixIndex,
        costs: PageCosts | None = None,
        policy: EvictionPolicy | None = None,
    ) -> None:
        """Without ``costs`` all pages cost alike; without ``policy`` it is GreedyDual over ``costs``."""
        self.pool = pool
        self.index = index
        self.costs = costs or PageCosts(UNIFORM, pool.shape.bytes)
        self._eviction = EvictionHeap(pool.total + 1, policy or GreedyDual(self.costs, pool.total))
        self._lock = threading.Lock()
        self._evictor = PageEvictor(pool, index, self._eviction, self._lock)
        self._reserved = 0

    def spill_into(self, files: SpillFiles, done: Callable[[Callable[[], None]], None]) -> SpillTier:
        """From now on pages go to ``files`` before they are dropped. ``done`` passes calls to the engine's thread."""
        return self._evictor.spill_into(files, self.costs, failed=self.discard_if_absent, done=done)

    @contextmanager
    def retain_match(self, token_ids: Sequence[int], scopes: Sequence[str]) -> Iterator[PrefixMatch]:
        """Look up and keep what was found from eviction until the block ends. The last prompt token is never
        taken from the cache: its logits are what the first new token comes from.

        Nothing is found where keeping it would break a promise: those pages are as good as evicted.
        """
        limit = len(token_ids) - 1
        keys = self.index.keys(token_ids, scopes, limit)
        with self._lock:
            found = self.index.match(token_ids, scopes, limit, keys)
            if not self._try_retain(found.nodes):
                found = PrefixMatch((), 0)
        try:
            yield found
        finally:
            with self._lock:
                self._retain(found.nodes, -1)

    def seen(self, token_ids: Sequence[int], scopes: Sequence[str]) -> bool:
        with self._lock:
            return self.index.seen(token_ids, scopes)

    def resident(self, pages: Sequence[KeptPage], token_ids: Sequence[int], scopes: Sequence[str]) -> int:
        """How many tokens of a kept prefix a lookup would find, in memory or on disk. For figures: full pages are
        found by their keys alone."""
        with self._lock:
            return self.index.resident(pages, token_ids, scopes)

    def retain(self, nodes: Sequence[Node]) -> bool:
        """Keep nodes from eviction until :meth:`unpin`; False, and nothing is changed, when that would break a
        promise."""
        with self._lock:
            return self._try_retain(nodes)

    def release(self, nodes: Iterable[Node]) -> None:
        with self._lock:
            self._retain(nodes, -1)

    def _try_retain(self, nodes: Sequence[Node], promise: int = 0) -> bool:
        """Pin, and promise so many pages beside; or change nothing."""
        self._retain(nodes, +1)
        if self._reserved + promise > self._available:
            self._retain(nodes, -1)
            return False
        self._reserved += promise
        return True

    def _retain(self, nodes: Iterable[Node], by: int) -> None:
        for node in nodes:
            self._eviction.retain(node, by)

    @property
    def _available(self) -> int:
        """Pages that could be handed out."""
        return self.pool.free + self._eviction.count

    def match(self, token_ids: Sequence[int], scopes: Sequence[str], limit: int) -> PrefixMatch:
        keys = self.index.keys(token_ids, scopes, limit)
        with self._lock:
            return self.index.match(token_ids, scopes, limit, keys)

    def note_use(self, nodes: Iterable[Node]) -> None:
        """A request takes these nodes' KV: they are worth more from now on. Once for each request."""
        with self._lock:
            for node in nodes:
                self._eviction.note_use(node)

    def reserve(self, pages: int) -> bool:
        """Set pages aside, free or evictable ones; False when there are not so many. Each ``take`` redeems
        one."""
        return self.retain_and_reserve((), pages)

    def retain_and_reserve(self, nodes: Sequence[Node], pages: int) -> bool:
        """Pin ``nodes`` and promise ``pages`` beside them; False, and nothing is changed, when there are not so
        many."""
        with self._lock:
            return self._try_retain(nodes, pages)

    def unreserve(self, pages: int) -> None:
        """Give back what was promised and not taken."""
        with self._lock:
            self._reserved -= pages
            assert self._reserved >= 0

    def take(self, after: int | None) -> int:
        """A promised page, filled with zeros, evicting if none is free. Where it raises, the promise stands; it raises
        MemoryError only if nothing was promised."""
        while (page := self._take_free(after)) is None:
            self._evictor.evict_one()
        try:
            self.pool.clear(page)
        except BaseException:
            with self._lock:
                self._return_page(page)
                self._reserved += 1
            raise
        return page

    def _take_free(self, after: int | None) -> int | None:
        with self._lock:
            if self.pool.free == 0:
                return None
            page = self.pool.allocate(after)
            self._eviction.add_sequence(page)
            self._eviction.policy.note_allocation()
            self._reserved -= 1
            return page

    def share(self, node: Node) -> int:
        """Hold a resident node's page for a sequence."""
        with self._lock:
            assert node.page is not None
            self.pool.add_holder(node.page)
            self._eviction.add_sequence(node.page)
            return node.page

    def return_pages(self, pages: Iterable[int]) -> None:
        with self._lock:
            for page in pages:
                self._return_page(page)

    def _return_page(self, page: int) -> None:
        """A sequence lets go."""
        self._eviction.remove_sequence(page)
        self.pool.remove_holder(page)

    def register(self, scope: str, parent: Node | None, token_ids: tuple[int, ...], page: int) -> Node | None:
        """Make a sequence's page findable; the node becomes one of its holders.

        Where the prefix is known already and its page is in use, that stays and this one remains the sequence's
        own. One that nobody uses gives way to this one, which has the same bits: what hangs below it would keep
        it from going, and it may be promised. None when the prefix was given up meanwhile (its document was
        deleted): there is nothing to hang it on. None, too, while it would break a promise: in use, it keeps in
        memory what it hangs below, and that may be another sequence's copy, which nobody uses.
        """
        with self._lock:
            if parent is not None and not self.index.has(parent):
                return None
            node, made = self.index.add(scope, parent, token_ids)
            if not self._attach(node, page):
                if made:
                    self.index.remove(node)
                return None
            if made:
                self._eviction.note_use(node)
            for old in self.index.shorter(node):
                if _outgrown(old, node):
                    node.frequency = max(node.frequency, old.frequency)
                    self._evictor.forget(old)
            return node

    def _attach(self, node: Node, page: int) -> bool:
        """Give a node a page that a sequence holds, unless it has one in use. False, and nothing is changed, when that
        would break a promise."""
        old = None
        if node.page is not None:
            if node.page == page or not self._eviction.is_evictable(node.page):
                return True
            old = self._eviction.detach(node)
        self._eviction.attach(node, page)
        freed = old is not None and self.pool.refs[old] == 1
        if self._reserved > self._available + freed:
            self._eviction.detach(node)
            if old is not None:
                self._eviction.attach(node, old)
            return False
        self.pool.add_holder(page)
        if old is not None:
            self.pool.remove_holder(old)
        return True

    def add_stored(self, scope: str, parent: Node | None, token_ids: tuple[int, ...]) -> Node:
        """Make a page that is on disk findable."""
        with self._lock:
            node, _ = self.index.add(scope, parent, token_ids)
            self._evictor.stored(node)
            return node

    def attach_loaded(self, node: Node, page: int) -> bool:
        """A stored page was read into ``page``, which becomes the node's. False, and the page is free again,
        when the node has one by now or was forgotten."""
        with self._lock:
            kept = node.page is None and self.index.has(node)
            if kept:
                self._eviction.attach(node, page)
                self.pool.add_holder(page)
            self._return_page(page)
            return kept

    def mark_stored(self, node: Node) -> None:
        with self._lock:
            if self.index.has(node):
                self._evictor.stored(node)

    def pin(self, nodes: Sequence[Node], most: int) -> PinOutcome:
        """Keep resident nodes in memory until :meth:`unfix`, ``most`` pages in all at most. Counted for each call."""
        with self._lock:
            if any(n.page is None for n in nodes):
                return PinOutcome.ABSENT
            new = sum(1 for n in nodes if n.pinned == 0)
            if self.pinned + new > most:
                return PinOutcome.OVER_BUDGET
            if not self._try_retain(nodes):
                return PinOutcome.BUSY
            self._evictor.pin(nodes)
            return PinOutcome.PINNED

    def unpin(self, nodes: Iterable[Node]) -> None:
        """Undo one :meth:`fix`; nodes that were forgotten meanwhile are passed over."""
        with self._lock:
            for node in nodes:
                self._evictor.unpin(node)

    @property
    def pinned(self) -> int:
        """Pages that :meth:`fix` keeps."""
        return self._evictor.pinned

    def discard(self, node: Node) -> None:
        """Forget a node and everything behind it: its document is gone.

        Readers that hold the pages keep them; nobody new finds them.
        """
        with self._lock:
            if self.index.has(node):
                self._evictor.discard(node)

    def discard_if_absent(self, node: Node) -> None:
        """The copy on disk is no good. Without one in memory, the page and all behind it are forgotten."""
        with self._lock:
            self._evictor.lost(node)

    def find(self, scope: str, parent_key: bytes, key: bytes, token_ids: tuple[int, ...]) -> Node | None:
        with self._lock:
            return self.index.find(scope, parent_key, key, token_ids)

    def occupancy(self) -> Occupancy:
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
            )

    def check(self, sequence_pages: Iterable[Sequence[int]]) -> list[str]:
        """Recount every page's holders; [] when free + held == total and each count is right.

        ``sequence_pages``: the pages of every live sequence.
        """
        with self._lock:
            faults = self.index.check() + self._eviction.check(self.index)
            fixed = sum(1 for n in self.index if n.pinned)
            spilled = sum(1 for n in self.index if n.spilled)
            if fixed != self.pinned:
                faults.append(f"{fixed} pages are fixed, {self.pinned} are counted")
            if spilled != self._evictor.spilled:
                faults.append(f"{spilled} nodes are spilled, the tier has {self._evictor.spilled} pages")
            if not 0 <= self._reserved <= self._available:
                faults.append(f"{self._reserved} pages are promised, {self._available} are free or evictable")
            return faults + holder_faults(self.pool, self.index, sequence_pages)


def _outgrown(old: Node, node: Node) -> bool:
    """A partial page that grew replaces what it was. Readers that hold the old page keep it."""
    size = len(old.token_ids)
    return (
        old is not node
        and old.retained == 0
        and not old.stored
        and size < len(node.token_ids)
        and old.token_ids == node.token_ids[:size]
    )


def pages_for(tokens: int) -> int:
    """How many pages ``tokens`` positions take."""
    return -(-tokens // PAGE_TOKENS)

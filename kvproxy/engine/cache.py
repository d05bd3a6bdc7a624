"""The KV cache: the page pool and the prefix index under one lock, and the rules between them.

Every page is free or held, by sequences and by index nodes. Nodes with no other holder and no pin may be evicted,
leaves first, least valuable first (``value.py``). A stored node then stays known and is loaded again on demand, and
so is one whose page the spill tier takes; any other is forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.costs import UNIFORM, PageCosts
from kvproxy.engine.evictable import Evictable
from kvproxy.engine.index import Match, Node, PrefixIndex
from kvproxy.engine.pool import PagePool
from kvproxy.engine.spill import Spill, SpillFiles
from kvproxy.engine.value import GreedyDual, Policy


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Counts of pages at one moment. ``free + held == total`` always."""

    total: int
    free: int
    held: int
    evictable: int
    nodes: int
    fixed: int = 0
    """Pages that publishers want to stay."""
    spilled: int = 0
    """Nodes with a copy in the spill tier."""


class KVCache:
    """Methods lock for themselves. ``hold`` may be used on any thread; all else belongs to the engine's."""

    def __init__(
        self,
        pool: PagePool,
        index: PrefixIndex,
        costs: PageCosts | None = None,
        policy: Policy | None = None,
    ) -> None:
        """Without ``costs`` all pages cost alike; without ``policy`` it is GreedyDual over ``costs``."""
        self.pool = pool
        self.index = index
        self.costs = costs or PageCosts(UNIFORM, pool.shape.bytes)
        self._evictable = Evictable(pool.total + 1, policy or GreedyDual(self.costs, pool.total))
        self._spill: Spill | None = None
        self._lock = threading.Lock()
        self._promised = 0
        self._fixed = 0

    def spill_into(self, files: SpillFiles, done: Callable[[Callable[[], None]], None]) -> Spill:
        """From now on pages go to ``files`` before they are dropped. ``done`` passes calls to the engine's thread."""
        failed = self.discard_if_absent
        self._spill = Spill(files, self.pool, self.costs, lost=self._lost, failed=failed, done=done)
        return self._spill

    @contextmanager
    def hold(self, token_ids: Sequence[int], scopes: Sequence[str]) -> Iterator[Match]:
        """Look up and keep what was found from eviction until the block ends. The last prompt token is never
        taken from the cache: its logits are what the first new token comes from.

        Nothing is found where keeping it would break a promise: those pages are as good as evicted.
        """
        with self._lock:
            found = self.index.match(token_ids, scopes, len(token_ids) - 1)
            self._pin(found.nodes, +1)
            if self._promised > self.pool.free + self._evictable.count:
                self._pin(found.nodes, -1)
                found = Match((), 0)
        try:
            yield found
        finally:
            with self._lock:
                self._pin(found.nodes, -1)

    def seen(self, token_ids: Sequence[int], scopes: Sequence[str]) -> bool:
        with self._lock:
            return self.index.seen(token_ids, scopes)

    def pin(self, nodes: Iterable[Node]) -> None:
        with self._lock:
            self._pin(nodes, +1)

    def unpin(self, nodes: Iterable[Node]) -> None:
        with self._lock:
            self._pin(nodes, -1)

    def _pin(self, nodes: Iterable[Node], by: int) -> None:
        for node in nodes:
            self._evictable.pin(node, by)

    def match(self, token_ids: Sequence[int], scopes: Sequence[str], limit: int) -> Match:
        with self._lock:
            return self.index.match(token_ids, scopes, limit)

    def used(self, nodes: Iterable[Node]) -> None:
        """A request takes these nodes' KV: they are worth more from now on. Once for each request."""
        with self._lock:
            for node in nodes:
                self._evictable.used(node)

    def promise(self, pages: int) -> bool:
        """Set pages aside, free or evictable ones; False when there are not so many. Each ``take`` redeems
        one."""
        with self._lock:
            if self.pool.free + self._evictable.count - self._promised < pages:
                return False
            self._promised += pages
            return True

    def unpromise(self, pages: int) -> None:
        """Give back what was promised and not taken."""
        with self._lock:
            self._promised -= pages
            assert self._promised >= 0

    def take(self, after: int | None) -> int:
        """A promised page, evicting if none is free. Raises MemoryError only if nothing was promised."""
        with self._lock:
            while self.pool.free == 0:
                self._evict_one()
            page = self.pool.allocate(after)
            self._evictable.hold(page)
            self._evictable.policy.taken()
            self._promised -= 1
            return page

    def share(self, node: Node) -> int:
        """Hold a resident node's page for a sequence."""
        with self._lock:
            assert node.page is not None
            self.pool.hold(node.page)
            self._evictable.hold(node.page)
            return node.page

    def release(self, pages: Iterable[int]) -> None:
        with self._lock:
            for page in pages:
                self._release(page)

    def _release(self, page: int) -> None:
        """A sequence lets go."""
        self._evictable.release(page)
        self.pool.release(page)

    def register(self, scope: str, parent: Node | None, token_ids: tuple[int, ...], page: int) -> Node | None:
        """Make a sequence's page findable; the node becomes one of its holders.

        Where the prefix is known already and its page is in use, that stays and this one remains the sequence's
        own. One that nobody uses gives way to this one, which has the same bits: what hangs below it would keep
        it from going, and it may be promised. None when the prefix was given up meanwhile (its document was
        deleted): there is nothing to hang it on.
        """
        with self._lock:
            if parent is not None and not self.index.has(parent):
                return None
            node, made = self.index.add(scope, parent, token_ids)
            if node.page is not None and node.page != page and self._evictable.may_go(node.page):
                self.pool.release(self._evictable.detach(node))
            if node.page is None:
                self._evictable.attach(node, page)
                self.pool.hold(page)
            if made:
                self._evictable.used(node)
            for old in self.index.siblings(node):
                if _outgrown(old, node):
                    node.frequency = max(node.frequency, old.frequency)
                    self._forget(old)
            return node

    def know(self, scope: str, parent: Node | None, token_ids: tuple[int, ...]) -> Node:
        """Make a page that is on disk findable."""
        with self._lock:
            node, _ = self.index.add(scope, parent, token_ids)
            self._is_stored(node)
            return node

    def arrived(self, node: Node, page: int) -> bool:
        """A stored page was read into ``page``, which becomes the node's. False, and the page is free again,
        when the node has one by now or was forgotten."""
        with self._lock:
            kept = node.page is None and self.index.has(node)
            if kept:
                self._evictable.attach(node, page)
                self.pool.hold(page)
            self._release(page)
            return kept

    def mark_stored(self, node: Node) -> None:
        with self._lock:
            if self.index.has(node):
                self._is_stored(node)

    def _is_stored(self, node: Node) -> None:
        """What is in the store needs no copy beside it."""
        node.stored = True
        self._unspill(node)

    def _unspill(self, node: Node) -> None:
        if node.spilled:
            node.spilled = False
            assert self._spill is not None
            self._spill.forget(node)

    def fix(self, nodes: Sequence[Node], most: int) -> bool:
        """Keep resident nodes in memory until :meth:`unfix`; False, and nothing is changed, when more than
        ``most`` pages would be kept like that, or one of them is gone. Counted for each call."""
        with self._lock:
            new = sum(1 for n in nodes if n.fixed == 0)
            if self._fixed + new > most or any(n.page is None for n in nodes):
                return False
            self._fixed += new
            for node in nodes:
                node.fixed += 1
            self._pin(nodes, +1)
            return True

    def unfix(self, nodes: Iterable[Node]) -> None:
        """Undo one :meth:`fix`; nodes that were forgotten meanwhile are passed over."""
        with self._lock:
            for node in nodes:
                if node.fixed:
                    node.fixed -= 1
                    self._fixed -= node.fixed == 0
                    self._evictable.pin(node, -1)

    @property
    def fixed(self) -> int:
        """Pages that :meth:`fix` keeps."""
        return self._fixed

    def discard(self, node: Node) -> None:
        """Forget a node and everything behind it: its document is gone.

        Readers that hold the pages keep them; nobody new finds them.
        """
        with self._lock:
            if self.index.has(node):
                self._discard_tree(node)

    def discard_if_absent(self, node: Node) -> None:
        """The copy on disk is no good. Without one in memory, the page and all behind it are forgotten."""
        with self._lock:
            self._lost(node)

    def _lost(self, node: Node) -> None:
        node.stored = False
        self._unspill(node)
        if node.page is None and self.index.has(node):
            self._discard_tree(node)

    def find(self, scope: str, parent_key: bytes, key: bytes, token_ids: tuple[int, ...]) -> Node | None:
        with self._lock:
            return self.index.find(scope, parent_key, key, token_ids)

    def _discard_tree(self, node: Node) -> None:
        for child in list(node.children):
            self._discard_tree(child)
        self._forget(node)

    def _forget(self, node: Node) -> None:
        if node.page is not None:
            self.pool.release(self._evictable.detach(node))
        if node.fixed:
            self._fixed -= 1
            self._evictable.pin(node, -node.fixed)
            node.fixed = 0
        node.stored = False
        self._unspill(node)
        self.index.remove(node)

    def _evict_one(self) -> None:
        victim = self._evictable.pop()
        assert victim.page is not None
        if self._spill is not None and victim.spilled:
            self._spill.left(victim)
        elif self._spill is not None and not victim.stored:
            victim.spilled = self._spill.take(victim, victim.page)
        if victim.stored or victim.spilled:
            self.pool.release(self._evictable.detach(victim))
        else:
            # Children that are only on disk are unreachable without this page; they go with it.
            self._discard_tree(victim)

    def occupancy(self) -> Occupancy:
        with self._lock:
            pool = self.pool
            return Occupancy(
                pool.total,
                pool.free,
                pool.total - pool.free,
                self._evictable.count,
                len(self.index),
                self._fixed,
                0 if self._spill is None else len(self._spill),
            )

    def check(self, sequence_pages: Iterable[Sequence[int]]) -> list[str]:
        """Recount every page's holders; [] when free + held == total and each count is right.

        ``sequence_pages``: the pages of every live sequence.
        """
        with self._lock:
            faults = self.index.check() + self._evictable.check(self.index)
            fixed = sum(1 for n in self.index if n.fixed)
            spilled = sum(1 for n in self.index if n.spilled)
            if fixed != self._fixed:
                faults.append(f"{fixed} pages are fixed, {self._fixed} are counted")
            if spilled != (0 if self._spill is None else len(self._spill)):
                faults.append(f"{spilled} nodes are spilled, the tier has another number of pages")
            expected = [0] * len(self.pool.refs)
            for pages in sequence_pages:
                for page in pages:
                    expected[page] += 1
            for node in self.index:
                if node.page is not None:
                    expected[node.page] += 1
            for page in range(1, len(expected)):
                if expected[page] != self.pool.refs[page]:
                    faults.append(
                        f"page {page} has {self.pool.refs[page]} holders, {expected[page]} are known"
                    )
            free = sum(1 for refs in self.pool.refs if refs == 0)
            if free != self.pool.free:
                faults.append(f"{free} pages have no holder, {self.pool.free} are counted free")
            return faults


def _outgrown(old: Node, node: Node) -> bool:
    """A partial page that grew replaces what it was. Readers that hold the old page keep it."""
    size = len(old.token_ids)
    return (
        old is not node
        and old.pins == 0
        and not old.stored
        and size < len(node.token_ids)
        and old.token_ids == node.token_ids[:size]
    )


def pages_for(tokens: int) -> int:
    """How many pages ``tokens`` positions take."""
    return -(-tokens // PAGE_TOKENS)

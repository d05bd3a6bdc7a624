"""The KV cache: the page pool and the prefix index under one lock, and the rules between them.

Every page is free or held, by sequences and by at most one index node. Nodes with no other holder and no pin
may be evicted, leaves first, least recently used first; a stored node then stays known and is loaded again on
demand.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.index import Match, Node, PrefixIndex
from kvproxy.engine.pool import PagePool


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Counts of pages at one moment. ``free + held == total`` always."""

    total: int
    free: int
    held: int
    evictable: int
    nodes: int


class KVCache:
    """Methods lock for themselves. ``hold`` may be used on any thread; all else belongs to the engine's."""

    def __init__(self, pool: PagePool, index: PrefixIndex) -> None:
        self.pool = pool
        self.index = index
        self._lock = threading.Lock()
        self._promised = 0

    @contextmanager
    def hold(self, token_ids: Sequence[int], scopes: Sequence[str]) -> Iterator[Match]:
        """Look up and keep what was found from eviction until the block ends. The last prompt token is never
        taken from the cache: its logits are what the first new token comes from.

        Nothing is found where keeping it would break a promise: those pages are as good as evicted.
        """
        with self._lock:
            found = self.index.match(token_ids, scopes, len(token_ids) - 1)
            self._pin(found.nodes, +1)
            if self._promised > self.pool.free and self._promised > self.pool.free + len(self._evictable()):
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
            node.pins += by

    def match(self, token_ids: Sequence[int], scopes: Sequence[str], limit: int) -> Match:
        with self._lock:
            found = self.index.match(token_ids, scopes, limit)
            if found.nodes:
                self.index.touch(found.nodes[-1])
            return found

    def promise(self, pages: int) -> bool:
        """Set pages aside, free or evictable ones; False when there are not so many. Each ``take`` redeems
        one."""
        with self._lock:
            if self.pool.free + len(self._evictable()) - self._promised < pages:
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
            self._promised -= 1
            return page

    def share(self, node: Node) -> int:
        """Hold a resident node's page for a sequence."""
        with self._lock:
            assert node.page is not None
            self.pool.hold(node.page)
            return node.page

    def release(self, pages: Iterable[int]) -> None:
        with self._lock:
            for page in pages:
                self.pool.release(page)

    def register(self, scope: str, parent: Node | None, token_ids: tuple[int, ...], page: int) -> Node | None:
        """Make a sequence's page findable; the node becomes one of its holders.

        Where the prefix is known already, the known page stays and this one remains the sequence's own.
        None when the prefix was given up meanwhile (its document was deleted): there is nothing to hang it on.
        """
        with self._lock:
            if parent is not None and not self.index.has(parent):
                return None
            node, _ = self.index.add(scope, parent, token_ids)
            if node.page is None:
                node.page = page
                self.pool.hold(page)
            self.index.touch(node)
            for old in self.index.siblings(node):
                if self._outgrown(old, node):
                    self._forget(old)
            return node

    @staticmethod
    def _outgrown(old: Node, node: Node) -> bool:
        """A partial page that grew replaces what it was: same page, fewer tokens, nothing stored."""
        return (
            old is not node
            and old.page == node.page
            and old.pins == 0
            and not old.stored
            and len(old.token_ids) < len(node.token_ids)
        )

    def know(self, scope: str, parent: Node | None, token_ids: tuple[int, ...]) -> Node:
        """Make a page that is on disk findable."""
        with self._lock:
            node, _ = self.index.add(scope, parent, token_ids)
            node.stored = True
            return node

    def arrived(self, node: Node, page: int) -> bool:
        """A stored page was read into ``page``, which becomes the node's. False, and the page is free again,
        when the node has one by now or was forgotten."""
        with self._lock:
            if node.page is None and self.index.has(node):
                node.page = page
                return True
            self.pool.release(page)
            return False

    def mark_stored(self, node: Node) -> None:
        with self._lock:
            node.stored = self.index.has(node)

    def discard(self, node: Node) -> None:
        """Forget a node and everything behind it: its document is gone.

        Readers that hold the pages keep them; nobody new finds them.
        """
        with self._lock:
            if self.index.has(node):
                self._discard_tree(node)

    def discard_if_absent(self, node: Node) -> None:
        """The stored copy of a page is no good. Without one in memory, it and all behind it are forgotten."""
        with self._lock:
            node.stored = False
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
            self.pool.release(node.page)
            node.page = None
        node.stored = False
        self.index.remove(node)

    def _evictable(self) -> set[int]:
        """Pages that nothing needs: held by unpinned nodes alone, whose descendants could go before them.

        Two nodes may hold one page, where a partial page grew while a reader had it pinned.
        """
        holders = Counter(n.page for n in self.index if n.page is not None)
        staying = [
            n
            for n in self.index
            if n.page is not None and (n.pins or self.pool.refs[n.page] != holders[n.page])
        ]
        kept: set[Node] = set()
        for node in staying:
            at: Node | None = node
            while at is not None and at not in kept:
                kept.add(at)
                at = at.parent
        return holders.keys() - {n.page for n in kept if n.page is not None}

    def _evict_one(self) -> None:
        """Least recently used first. A node's ancestors are touched with it, so leaves go before what they
        need."""
        pages = self._evictable()
        victims = [
            n for n in self.index if n.page in pages and not any(c.page is not None for c in n.children)
        ]
        if not victims:
            raise MemoryError("every page is in use")
        victim = min(victims, key=lambda n: (n.used, -n.index))
        if victim.stored:
            assert victim.page is not None
            self.pool.release(victim.page)
            victim.page = None
        elif victim.children:
            # Children that are only on disk are unreachable without this page; they go with it.
            for child in list(victim.children):
                self._discard_tree(child)
            self._forget(victim)
        else:
            self._forget(victim)

    def occupancy(self) -> Occupancy:
        with self._lock:
            pool = self.pool
            return Occupancy(
                pool.total, pool.free, pool.total - pool.free, len(self._evictable()), len(self.index)
            )

    def check(self, sequence_pages: Iterable[Sequence[int]]) -> list[str]:
        """Recount every page's holders; [] when free + held == total and each count is right.

        ``sequence_pages``: the pages of every live sequence.
        """
        with self._lock:
            faults = self.index.check()
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


def pages_for(tokens: int) -> int:
    """How many pages ``tokens`` positions take."""
    return -(-tokens // PAGE_TOKENS)

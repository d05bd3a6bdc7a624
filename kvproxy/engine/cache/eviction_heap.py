"""Which resident pages may go, and which goes first: kept up to date by every change, never looked for.

A page may go when only index nodes hold it, none of them is pinned, and nothing that hangs below them is in use: a
page is of no use without those before it. Each change costs its way up the tree at most, an eviction O(log pages).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from kvproxy.engine.cache.eviction_policy import EvictionPolicy
from kvproxy.engine.cache.prefix_index import Node


class EvictionHeap:
    """The cache tells it of every holder and pin; it changes the nodes' ``page``, ``retained``, ``in_use``, ``kept``,
    ``resident_below`` and ``priority``, and nobody else does. Not thread safe: the cache's lock guards it."""

    def __init__(self, pages: int, policy: EvictionPolicy) -> None:
        """``pages``: the pool's, with its scratch page."""
        self.policy = policy
        self.count = 0
        """Pages that may go."""
        self._nodes: list[list[Node]] = [[] for _ in range(pages)]
        self._sequences = [0] * pages
        self._evictable = bytearray(pages)
        self._heap: list[tuple[float, int, int, Node]] = []
        self._entries = 0

    def is_evictable(self, page: int) -> bool:
        return bool(self._evictable[page])

    def add_sequence(self, page: int) -> None:
        """One more sequence holds the page."""
        self._sequences[page] += 1
        if self._sequences[page] == 1:
            self._update_nodes_of(page)

    def remove_sequence(self, page: int) -> None:
        self._sequences[page] -= 1
        if self._sequences[page] == 0:
            self._update_nodes_of(page)

    def attach(self, node: Node, page: int) -> None:
        """The page is the node's from now on."""
        node.page = page
        self._nodes[page].append(node)
        if node.parent is not None:
            node.parent.resident_below += 1
        self._update_in_use(node)
        self._update_evictable(page)

    def detach(self, node: Node) -> int:
        """The page that was the node's."""
        page = node.page
        assert page is not None
        node.page = None
        self._update_in_use(node)
        self._nodes[page].remove(node)
        self._update_evictable(page)
        parent = node.parent
        if parent is not None:
            parent.resident_below -= 1
            self.offer(parent)
        return page

    def retain(self, node: Node, by: int) -> None:
        node.retained += by
        self._update_in_use(node)

    def note_use(self, node: Node) -> None:
        """A request took the node's KV, or it was just computed."""
        self.policy.note_use(node)
        self.offer(node)

    def next_victim(self) -> Node:
        """The node whose page goes first. It stays in the tree and keeps its page: what follows is the cache's, which
        evicts it or offers it again.

        Raises MemoryError when no page may go.
        """
        while self._heap:
            value, _, _, node = heapq.heappop(self._heap)
            if value != node.priority or not self.is_candidate(node):
                continue
            now = self.policy.priority(node)
            if now > value:  # what it hangs on is worth more since
                self._push(node, now)
                continue
            return node
        raise MemoryError("every page is in use")

    def node_removed(self, node: Node) -> None:
        """The node leaves the tree: whoever pins it still keeps nothing above it."""
        self._update_in_use(node)

    def _update_nodes_of(self, page: int) -> None:
        for node in self._nodes[page]:
            self._update_in_use(node)

    def _update_in_use(self, node: Node) -> None:
        """See whether the node is in use, and tell all that lead to it when that has changed."""
        in_use = self._in_use(node)
        if in_use == node.in_use:
            return
        node.in_use = in_use
        if not in_use:
            self.policy.note_idle(node)
        at: Node | None = node
        while at is not None:
            before = at.in_use_below
            at.in_use_below += 1 if in_use else -1
            if (before > 0) == (at.in_use_below > 0):
                return
            if at.page is not None:
                self._update_evictable(at.page)
            at = at.parent

    def _in_use(self, node: Node) -> bool:
        """One that is on disk, and pinned since it is about to be read, keeps what leads to it as much as it will
        when its page has come: its coming must take no page from those that may go."""
        if node.page is not None and self._sequences[node.page] > 0:
            return True
        return node.retained > 0 and (node.page is not None or node.stored or node.spilled)

    def _update_evictable(self, page: int) -> None:
        nodes = self._nodes[page]
        may = bool(nodes) and not any(n.in_use_below for n in nodes)
        if may != self._evictable[page]:
            self._evictable[page] = may
            self.count += 1 if may else -1
        if may:
            for node in nodes:
                self.offer(node)

    def is_candidate(self, node: Node) -> bool:
        """Whether the node's page may go now, before any other."""
        return node.page is not None and node.resident_below == 0 and bool(self._evictable[node.page])

    def offer(self, node: Node) -> None:
        """Queue a node that may have become one that can go, or has another value."""
        if self.is_candidate(node):
            self._push(node, self.policy.priority(node))

    def _push(self, node: Node, priority: float) -> None:
        """Old entries of a node stay and are skipped, until there are too many of them."""
        node.priority = priority
        if len(self._heap) > 8 * len(self._nodes) + 64:
            leaves = {n for nodes in self._nodes for n in nodes if n is not node and self.is_candidate(n)}
            self._heap = [self._entry(n) for n in leaves]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, self._entry(node))

    def _entry(self, node: Node) -> tuple[float, int, int, Node]:
        self._entries += 1
        return node.priority, -node.index, self._entries, node

    def check(self, nodes: Iterable[Node]) -> list[str]:
        """Count everything anew from the tree; every difference in words."""
        faults: list[str] = []
        everyone = list(nodes)
        kept: set[Node] = set()
        for node in everyone:
            in_use = self._in_use(node)
            if in_use != node.in_use:
                faults.append(f"node {node.key.hex()[:12]} is in use: {in_use}, counted as {node.in_use}")
            at: Node | None = node if in_use else None
            while at is not None and at not in kept:
                kept.add(at)
                at = at.parent
        holders: dict[int, list[Node]] = {}
        for node in everyone:
            if node.page is not None:
                holders.setdefault(node.page, []).append(node)
            below = sum(c.page is not None for c in node.children)
            if below != node.resident_below:
                faults.append(
                    f"node {node.key.hex()[:12]} has {below} resident children, not {node.resident_below}"
                )
            if (node in kept) != (node.in_use_below > 0):
                faults.append(
                    f"node {node.key.hex()[:12]} is kept: {node in kept}, its count is {node.in_use_below}"
                )
        may_go = {page for page, of in holders.items() if not kept.intersection(of)}
        listed = {page for page, may in enumerate(self._evictable) if may}
        if may_go != listed or self.count != len(may_go):
            faults.append(f"{len(may_go)} pages may go, {len(listed)} are listed and {self.count} counted")
        for page, of in enumerate(self._nodes):
            if set(of) != set(holders.get(page, ())) or len(of) != len(set(of)):
                faults.append(
                    f"page {page} is listed for {len(of)} nodes, {len(holders.get(page, ()))} have it"
                )
        queued = {(node, value) for value, _, _, node in self._heap}
        for node in everyone:
            if self.is_candidate(node) and (node, node.priority) not in queued:
                faults.append(f"node {node.key.hex()[:12]} may go next and is in no queue")
        return faults

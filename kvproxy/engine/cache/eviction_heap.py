"""A heap of evictable pages, updated incrementally on each change of holders, retained and pinned nodes.

A page is evictable when only index nodes hold it, none of them is retained or pinned, and no node below them is in use:
a page is of no use without those before it. Each change costs its way up the tree at most, an eviction O(log pages).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from kvproxy.engine.cache.eviction_policy import EvictionPolicy
from kvproxy.engine.cache.prefix_index import Node


class EvictionHeap:
    """Evictable pages in the order in which they are to be evicted.

    The cache reports every holder and every retained node; this class alone changes the nodes' ``page``, ``retained``,
    ``in_use``, ``in_use_below``, ``resident_below``, ``held`` and ``priority``. Not thread safe: the cache's lock
    guards it.
    """

    def __init__(self, pages: int, policy: EvictionPolicy) -> None:
        """Start without nodes; ``pages``: size of the pool, its scratch page included."""
        self.policy = policy
        self.count = 0
        """Number of evictable pages."""
        self._nodes: list[list[Node]] = [[] for _ in range(pages)]
        self._sequences = [0] * pages
        self._evictable = bytearray(pages)
        self._heap: list[tuple[bool, float, int, int, Node]] = []
        self._entries = 0

    def is_evictable(self, page: int) -> bool:
        """Return whether the page may be evicted, once those below it are."""
        return bool(self._evictable[page])

    def add_sequence(self, page: int) -> None:
        """Count one more sequence that holds the page."""
        self._sequences[page] += 1
        if self._sequences[page] == 1:
            self._update_nodes_of(page)

    def remove_sequence(self, page: int) -> None:
        """Count one sequence less that holds the page."""
        self._sequences[page] -= 1
        if self._sequences[page] == 0:
            self._update_nodes_of(page)

    def attach(self, node: Node, page: int) -> None:
        """Make ``page`` the node's."""
        node.page = page
        self._nodes[page].append(node)
        if node.parent is not None:
            node.parent.resident_below += 1
        self._update_in_use(node)
        self._update_evictable(page)

    def detach(self, node: Node) -> int:
        """Take the node's page from it and return the page."""
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
        """Add ``by`` (negative to release) to the node's retained count."""
        node.retained += by
        self._update_in_use(node)

    def note_use(self, node: Node) -> None:
        """Record that a request took the node's KV, or that it was just computed."""
        self.policy.note_use(node)
        self.offer(node)

    def next_victim(self) -> Node:
        """Return the node of the page to evict first.

        The node stays in the tree and keeps its page: the cache then evicts it, or offers it again. Raises MemoryError
        when no page is evictable.
        """
        while self._heap:
            held, value, _, _, node = heapq.heappop(self._heap)
            if (held, value) != (node.held, node.priority) or not self.is_candidate(node):
                continue
            now = self.policy.priority(node)
            if now > value:  # the pages above it are worth more since
                self._push(node, now)
                continue
            return node
        raise MemoryError("every page is in use")

    def set_held(self, node: Node, held: bool) -> None:
        """Let a node give way after all that are not held, or in the usual order again."""
        node.held = held
        self.offer(node)

    def node_removed(self, node: Node) -> None:
        """Stop counting a node that leaves the tree: still retained, it keeps no page above it."""
        self._update_in_use(node)

    def _update_nodes_of(self, page: int) -> None:
        """Update all nodes that share the page."""
        for node in self._nodes[page]:
            self._update_in_use(node)

    def _update_in_use(self, node: Node) -> None:
        """Recompute whether the node is in use, and update all nodes above it when that has changed."""
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
        """Return whether the node must not be evicted.

        A retained node that is on disk is about to be read. It counts as in use already, as it will when its page has
        come: attaching that page must not make fewer pages evictable.
        """
        if node.page is not None:
            return node.retained > 0 or self._sequences[node.page] > 0
        return node.retained > 0 and (node.stored or node.spilled)

    def _update_evictable(self, page: int) -> None:
        """Recompute whether the page is evictable, and queue its nodes when it is."""
        nodes = self._nodes[page]
        evictable = bool(nodes)
        for node in nodes:
            if node.in_use_below:
                evictable = False
                break
        if evictable != self._evictable[page]:
            self._evictable[page] = evictable
            self.count += 1 if evictable else -1
        if evictable:
            for node in nodes:
                self.offer(node)

    def is_candidate(self, node: Node) -> bool:
        """Return whether the node's page is evictable now: no child of it is resident."""
        return node.page is not None and node.resident_below == 0 and bool(self._evictable[node.page])

    def offer(self, node: Node) -> None:
        """Queue a node that may have become a candidate, or has another priority."""
        if self.is_candidate(node):
            self._push(node, self.policy.priority(node))

    def _push(self, node: Node, priority: float) -> None:
        """Queue the node. Its old entries stay and are skipped, until there are too many of them."""
        node.priority = priority
        if len(self._heap) > 8 * len(self._nodes) + 64:
            leaves = {n for nodes in self._nodes for n in nodes if n is not node and self.is_candidate(n)}
            self._heap = [self._entry(n) for n in leaves]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, self._entry(node))

    def _entry(self, node: Node) -> tuple[bool, float, int, int, Node]:
        self._entries += 1
        return node.held, node.priority, -node.index, self._entries, node

    def check(self, nodes: Iterable[Node]) -> list[str]:
        """Recount everything from the tree and return every difference in words."""
        all_nodes = list(nodes)
        in_use_below: set[Node] = set()
        for node in all_nodes:
            at: Node | None = node if self._in_use(node) else None
            while at is not None and at not in in_use_below:
                in_use_below.add(at)
                at = at.parent
        return self._node_faults(all_nodes, in_use_below) + self._page_faults(all_nodes, in_use_below)

    def _node_faults(self, nodes: list[Node], in_use_below: set[Node]) -> list[str]:
        """Compare the nodes' own counts, and the heap's entries for candidates."""
        faults: list[str] = []
        queued = {(node, value, held) for held, value, _, _, node in self._heap}
        for node in nodes:
            in_use = self._in_use(node)
            if in_use != node.in_use:
                faults.append(f"node {node.key.hex()[:12]} is in use: {in_use}, counted as {node.in_use}")
            below = sum(c.page is not None for c in node.children)
            if below != node.resident_below:
                faults.append(
                    f"node {node.key.hex()[:12]} has {below} resident children, not {node.resident_below}"
                )
            if (node in in_use_below) != (node.in_use_below > 0):
                faults.append(
                    f"node {node.key.hex()[:12]} is in use, or a node below it: {node in in_use_below}, "
                    f"its count is {node.in_use_below}"
                )
            if self.is_candidate(node) and (node, node.priority, node.held) not in queued:
                faults.append(f"node {node.key.hex()[:12]} is a candidate and has no entry in the heap")
        return faults

    def _page_faults(self, nodes: list[Node], in_use_below: set[Node]) -> list[str]:
        """Compare the evictable pages, and each page's list of nodes."""
        faults: list[str] = []
        holders: dict[int, list[Node]] = {}
        for node in nodes:
            if node.page is not None:
                holders.setdefault(node.page, []).append(node)
        evictable = {page for page, of in holders.items() if not in_use_below.intersection(of)}
        listed = {page for page, is_listed in enumerate(self._evictable) if is_listed}
        if evictable != listed or self.count != len(evictable):
            faults.append(
                f"{len(evictable)} pages are evictable, {len(listed)} are listed and {self.count} counted"
            )
        for page, of in enumerate(self._nodes):
            if set(of) != set(holders.get(page, ())) or len(of) != len(set(of)):
                faults.append(
                    f"page {page} is listed for {len(of)} nodes, {len(holders.get(page, ()))} have it"
                )
        return faults

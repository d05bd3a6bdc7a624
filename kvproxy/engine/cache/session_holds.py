"""`SessionHolds`: pages that give way last for some seconds, because their session asked for it.

A hold is a wish: it orders evictions and forbids none, so that no reservation ever waits for it. Pages that are held
give way in the usual order once no other page can.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvproxy.engine.cache.eviction_heap import EvictionHeap
from kvproxy.engine.cache.prefix_index import Node


@dataclass(frozen=True, slots=True)
class SessionHold:
    """The wish of one request. ``session`` is a name within ``scope``, the scope of the pages that it may hold."""

    tenant: str
    scope: str
    session: str
    seconds: float
    """0 releases all that the session holds."""
    most_pages: int
    """Pages that the tenant's sessions may hold together."""


@dataclass(frozen=True, slots=True)
class HeldPages:
    """The answer to a wish: ``held`` of ``asked`` pages, or ``released`` ones."""

    asked: int
    held: int
    released: int = 0


class SessionHolds:
    """The held nodes by session, with their ends. The only writer of ``Node.held``. Not thread safe: the cache's lock
    guards it.

    Example: ``holds.hold(SessionHold("tenant:a", "tenant:a", "chat-7", 300.0, most_pages=64), nodes)``
    """

    def __init__(self, eviction: EvictionHeap, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock``: seconds that never go back."""
        self._eviction, self._clock = eviction, clock
        self._ends: dict[Node, dict[tuple[str, str], float]] = {}
        self._tenants: dict[Node, str] = {}
        self._sessions: dict[tuple[str, str], set[Node]] = {}
        self._pages: Counter[str] = Counter()
        self._order: list[tuple[float, int, Node, tuple[str, str]]] = []
        self._entries = 0

    def __len__(self) -> int:
        return len(self._ends)

    def hold(self, wish: SessionHold, nodes: Sequence[Node]) -> HeldPages:
        """Hold those of ``nodes`` that are in the wish's scope, the first ones where not all may be; or release the
        session's.

        A node that the session holds already is held for the longer of both times.
        """
        self.expire()
        session = (wish.scope, wish.session)
        if wish.seconds <= 0:
            return HeldPages(0, 0, self.release(session))
        own = [node for node in nodes if node.scope == wish.scope]
        end = self._clock() + wish.seconds
        held = 0
        for node in own:
            if node not in self._ends and self._pages[wish.tenant] >= wish.most_pages:
                break
            self._hold(node, session, wish.tenant, end)
            held += 1
        return HeldPages(len(own), held)

    def release(self, session: tuple[str, str]) -> int:
        """Release all that a session holds and no other does; return the number of nodes."""
        before = len(self._ends)
        for node in tuple(self._sessions.get(session, ())):
            self._drop(node, session)
        return before - len(self._ends)

    def expire(self) -> None:
        """Release every node whose time is over."""
        now = self._clock()
        while self._order and self._order[0][0] <= now:
            end, _, node, session = heapq.heappop(self._order)
            if self._ends.get(node, {}).get(session) == end:
                self._drop(node, session)

    def replace(self, old: Node, new: Node) -> None:
        """Hold ``new`` as ``old`` is held: it has the same tokens and more."""
        for session, end in tuple(self._ends.get(old, {}).items()):
            self._hold(new, session, self._tenants[old], end)

    def forget(self, node: Node) -> None:
        """Drop a node that leaves the index."""
        for session in tuple(self._ends.get(node, ())):
            self._drop(node, session)

    def pages(self, tenant: str) -> int:
        """Return the number of nodes that a tenant's sessions hold."""
        return self._pages[tenant]

    def check(self) -> list[str]:
        """Return every difference between the counts in words."""
        faults = [f"node {n.key.hex()[:12]} is held and not marked" for n in self._ends if not n.held]
        counted = Counter(self._tenants.values())
        if counted != +self._pages:
            faults.append(f"sessions hold {dict(counted)} pages, {dict(+self._pages)} are counted")
        listed = {(node, session) for session, nodes in self._sessions.items() for node in nodes}
        if listed != {(node, session) for node, ends in self._ends.items() for session in ends}:
            faults.append("the sessions' nodes are not those that are held")
        return faults

    def _hold(self, node: Node, session: tuple[str, str], tenant: str, end: float) -> None:
        ends = self._ends.get(node)
        if ends is None:
            ends = self._ends[node] = {}
            self._tenants[node] = tenant
            self._pages[tenant] += 1
            self._eviction.set_held(node, True)
        if end > ends.get(session, 0.0):
            ends[session] = end
            self._sessions.setdefault(session, set()).add(node)
            self._entries += 1
            heapq.heappush(self._order, (end, self._entries, node, session))
            self._compact()

    def _drop(self, node: Node, session: tuple[str, str]) -> None:
        nodes = self._sessions[session]
        nodes.discard(node)
        if not nodes:
            del self._sessions[session]
        ends = self._ends[node]
        del ends[session]
        if not ends:
            del self._ends[node]
            self._pages[self._tenants.pop(node)] -= 1
            self._eviction.set_held(node, False)

    def _compact(self) -> None:
        """Leave out entries that later holds have replaced, once there are many of them."""
        if len(self._order) > 8 * len(self._ends) + 64:
            self._order = [
                entry for entry in self._order if self._ends.get(entry[2], {}).get(entry[3]) == entry[0]
            ]
            heapq.heapify(self._order)

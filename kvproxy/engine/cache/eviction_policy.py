"""Eviction policies: GreedyDual-Size-Frequency (the default); LRU, LFU and Belady's rule for comparison.

Cherkasova, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy" (HP Labs, HPL-98-69R1,
1998): an object's priority is ``clock + frequency * cost / size``; the smallest is evicted first, and the clock becomes
the priority of the evicted object, so that objects that are not used again are overtaken in the end.
"""

from __future__ import annotations

import math
from typing import Protocol

from kvproxy.engine.cache.page_costs import PageCosts
from kvproxy.engine.cache.prefix_index import Node

TURNOVERS = 8.0
"""A use counts half after the pool's pages have been taken so many times."""
FIRST_USE = 0.2
"""Weight of a page's first use: most pages that are asked for once are never asked for again. On the traces of
``kvproxy bench evict``, 0.2 and 8 saved most on average; 1 and 4, the paper's way, do better for conversations alone
and worse for documents."""


class EvictionPolicy(Protocol):
    """The order of the evictable pages. Called under the cache's lock; changes the nodes' own figures alone."""

    def note_use(self, node: Node) -> None:
        """Record that a request took the node's KV, or that it was just computed."""

    def note_idle(self, node: Node) -> None:
        """Record that the last request released the node."""

    def priority(self, node: Node) -> float:
        """Return the node's priority, the smallest first: a function of the figures that the notes left in it."""

    def note_eviction(self, node: Node) -> None:
        """Record that the node was evicted, with ``node.priority``."""

    def note_allocation(self) -> None:
        """Record that a page of the pool was taken: the clock of ageing."""


class GreedyDual:
    """GreedyDual-Size-Frequency: ``priority = clock + frequency * cost``; all pages have one size, so it is 1.

    - cost: seconds to have the page again, in units of a first page's prefill (so that a better measurement of the
      machine does not move pages against one another). It grows with a page's depth by the attention that is added; for
      a page that is on disk, or would go there, it is its read, if that is cheaper.
    - frequency: requests that took the page, each counting half after TURNOVERS turnovers of the pool, and the first
      FIRST_USE. The paper's counter never falls: a page that was popular once would stay. It outlives the page for a
      while.
    - clock: as in the paper, and read when the last request releases the page rather than when the first one came.

    A page is of no use without those before it, and leaves are evicted first, which the cache sees to. The worth per
    page of a chain is then the least that its eviction begins to give up: the mean over the pages from its last page
    back to the page where the mean is least, not the last page's own cost, which is the chain's highest.
    """

    def __init__(self, costs: PageCosts, pages: int) -> None:
        """Start at time 0; ``pages``: number of pages in the pool."""
        self._costs = costs
        self._ticks_per_half = TURNOVERS * max(pages, 1)
        self._tick = 0
        self._clock = 0.0

    def note_use(self, node: Node) -> None:
        """See ``EvictionPolicy.note_use``."""
        node.frequency = self._aged(node) + (1.0 if node.frequency else FIRST_USE)
        node.counted_at = self._tick
        node.base = self._clock

    def note_idle(self, node: Node) -> None:
        """See ``EvictionPolicy.note_idle``."""
        node.base = self._clock

    def priority(self, node: Node) -> float:
        """Return the least mean worth per page of the chain that ends with the node. See the class."""
        first = self._costs.compute_s(0)
        worth = total = self._worth(node, first)
        count = 1
        at = node.parent
        while at is not None and at.page is not None and at.resident_below == 1:
            total, count = total + self._worth(at, first), count + 1
            worth = min(worth, total / count)
            at = at.parent
        return worth

    def _worth(self, node: Node, first: float) -> float:
        """``first``: seconds of the first page, the unit."""
        cost = self._costs.again_s(node.index, len(node.token_ids), on_disk=node.stored or node.spilled)
        return node.base + node.frequency * cost / first

    def note_eviction(self, node: Node) -> None:
        """See ``EvictionPolicy.note_eviction``."""
        self._clock = max(self._clock, node.priority)

    def note_allocation(self) -> None:
        """See ``EvictionPolicy.note_allocation``."""
        self._tick += 1

    def _aged(self, node: Node) -> float:
        return node.frequency * math.pow(0.5, (self._tick - node.counted_at) / self._ticks_per_half)


class LeastRecent:
    """LRU: evicts the page with the oldest last use."""

    def __init__(self) -> None:
        self._uses = 0

    def note_use(self, node: Node) -> None:
        """See ``EvictionPolicy.note_use``."""
        self._uses += 1
        node.base = float(self._uses)

    def note_idle(self, node: Node) -> None:
        """See ``EvictionPolicy.note_idle``."""
        pass

    def priority(self, node: Node) -> float:
        """Return the number of the last use."""
        return node.base

    def note_eviction(self, node: Node) -> None:
        """See ``EvictionPolicy.note_eviction``."""
        pass

    def note_allocation(self) -> None:
        """See ``EvictionPolicy.note_allocation``."""
        pass


class LeastFrequent(LeastRecent):
    """LFU: evicts the page with the fewest uses since it came; of equals, the least recently used one."""

    def note_use(self, node: Node) -> None:
        """See ``EvictionPolicy.note_use``."""
        super().note_use(node)
        node.frequency += 1.0

    def priority(self, node: Node) -> float:
        """Return the number of uses; of equals, the least recently used node's is smaller."""
        return node.frequency + node.base * 1e-9


class FarthestNext(LeastRecent):
    """Belady's rule, for replays that know the future: evicts the page with the farthest next use."""

    def __init__(self) -> None:
        super().__init__()
        self.next_use: float = 0.0
        """Number of the request that takes the KV in use again."""
        self.never = ""
        """Scope of the pages that no later request takes."""

    def note_use(self, node: Node) -> None:
        """Order the node by its next use, the farthest first."""
        node.base = -math.inf if node.scope == self.never else -self.next_use

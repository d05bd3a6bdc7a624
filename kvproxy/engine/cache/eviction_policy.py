"""Which page goes first: GreedyDual-Size-Frequency over pages, and the two that it is measured against.

Cherkasova, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching EvictionPolicy" (HP Labs,
HPL-98-69R1, 1998): an object's priority is ``clock + frequency * cost / size``; the smallest goes first, and the
clock becomes the priority of what went, so that whatever is not used again is overtaken in the end.
"""

from __future__ import annotations

import math
from typing import Protocol

from kvproxy.engine.cache.page_costs import PageCosts
from kvproxy.engine.cache.prefix_index import Node

TURNOVERS = 8.0
"""A use counts half after the pool's pages have been taken so many times."""
FIRST_USE = 0.2
"""What a page's first use counts: most of what is asked for once is never asked for again. On the traces of
``kvproxy bench evict``, 0.2 and 8 saved most on average; 1 and 4, the paper's way, do better for conversations alone
and worse for documents."""


class EvictionPolicy(Protocol):
    """Orders the pages that may go. Called under the cache's lock; changes the nodes' own figures alone."""

    def note_use(self, node: Node) -> None:
        """A request took its KV, or it was just computed."""

    def note_idle(self, node: Node) -> None:
        """Its last reader has let go."""

    def priority(self, node: Node) -> float:
        """The smallest goes first. A function of what ``used`` and ``rested`` left in the node."""

    def note_eviction(self, node: Node) -> None:
        """It went, with ``node.priority``."""

    def note_allocation(self) -> None:
        """A page of the pool was taken: the time that ageing goes by."""


class GreedyDual:
    """``priority = clock + frequency * cost``; all pages have one size, so it is 1.

    cost: seconds to have the page again, in units of a first page's prefill (so that a better measurement of the
    machine does not move pages against one another). It grows with a page's depth by what attention adds; for a
    page that is on disk, or would go there, it is its read, if that is cheaper.
    frequency: requests that took the page, each counting half after TURNOVERS turnovers of the pool, and the first
    FIRST_USE. The paper's counter never falls: what was popular once would stay. It outlives the page for a while.
    clock: as in the paper, and taken when the last reader lets go rather than when the first came.

    A page is of no use without those before it, and leaves go first, which the cache sees to. What a chain is
    worth per page is then what eviction of its last page begins to give up: the mean over the pages from there
    back to where the mean is least, not that page's own cost, which is the chain's highest.
    """

    def __init__(self, costs: PageCosts, pages: int) -> None:
        """``pages``: of the pool."""
        self._costs = costs
        self._ticks_per_half = TURNOVERS * max(pages, 1)
        self._tick = 0
        self._clock = 0.0

    def note_use(self, node: Node) -> None:
        node.frequency = self._aged(node) + (1.0 if node.frequency else FIRST_USE)
        node.counted_at = self._tick
        node.base = self._clock

    def note_idle(self, node: Node) -> None:
        node.base = self._clock

    def priority(self, node: Node) -> float:
        worth = total = self._worth(node)
        count = 1
        at = node.parent
        while at is not None and at.page is not None and at.resident_below == 1:
            total, count = total + self._worth(at), count + 1
            worth = min(worth, total / count)
            at = at.parent
        return worth

    def _worth(self, node: Node) -> float:
        cost = self._costs.again_s(node.index, len(node.token_ids), on_disk=node.stored or node.spilled)
        return node.base + node.frequency * cost / self._costs.compute_s(0)

    def note_eviction(self, node: Node) -> None:
        self._clock = max(self._clock, node.priority)

    def note_allocation(self) -> None:
        self._tick += 1

    def _aged(self, node: Node) -> float:
        return node.frequency * math.pow(0.5, (self._tick - node.counted_at) / self._ticks_per_half)


class LeastRecent:
    """The page whose last use lies furthest back."""

    def __init__(self) -> None:
        self._uses = 0

    def note_use(self, node: Node) -> None:
        self._uses += 1
        node.base = float(self._uses)

    def note_idle(self, node: Node) -> None:
        pass

    def priority(self, node: Node) -> float:
        return node.base

    def note_eviction(self, node: Node) -> None:
        pass

    def note_allocation(self) -> None:
        pass


class LeastFrequent(LeastRecent):
    """The page with the fewest uses since it came; of equals, the one whose last use lies furthest back."""

    def note_use(self, node: Node) -> None:
        super().note_use(node)
        node.frequency += 1.0

    def priority(self, node: Node) -> float:
        return node.frequency + node.base * 1e-9


class FarthestNext(LeastRecent):
    """Belady's rule, for replays that know the future: the page goes whose next use is furthest ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.next_use: float = 0.0
        """Of what is being served: the number of the request that takes it again."""
        self.never = ""
        """The scope of pages that nobody takes again."""

    def note_use(self, node: Node) -> None:
        node.base = -math.inf if node.scope == self.never else -self.next_use

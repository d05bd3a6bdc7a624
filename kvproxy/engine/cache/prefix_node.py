"""`Node`: one page of a token prefix in the index, with what eviction counts of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvproxy.core import PAGE_TOKENS, PageKeys


@dataclass(eq=False, slots=True)
class Node:
    """KV of ``len(token_ids)`` positions from ``index * PAGE_TOKENS`` on, behind the prefix that ends with ``parent``.

    ``page`` is None while the node is only on disk; a node that is neither in memory nor on disk is removed. Eviction's
    fields, from ``retained`` on, are changed by :class:`~kvproxy.engine.cache.eviction_heap.EvictionHeap` and its
    policy alone.
    """

    scope: str
    key: bytes
    parent_key: bytes
    parent: Node | None
    index: int
    token_ids: tuple[int, ...]
    page: int | None = None
    """Page of the pool that holds the KV; None: on disk only."""
    stored: bool = False
    """In the store, for good: a page of a published document."""
    spilled: bool = False
    """In the spill tier, for as long as there is room."""
    pinned: int = 0
    """Number of pins: publications that keep this page in memory."""
    children: set[Node] = field(default_factory=set)
    retained: int = 0
    """Number of requests and pins that keep the node from eviction."""
    in_use: bool = False
    """Whether a sequence holds the page, or the node is retained."""
    in_use_below: int = 0
    """1 if this node is in use, plus its children with a count above 0. Above 0: not evictable."""
    resident_below: int = 0
    """Children that have a page."""
    priority: float = 0.0
    """Priority of the last entry in the eviction heap."""
    frequency: float = 0.0
    """Uses, aged as the eviction policy counts them."""
    counted_at: int = 0
    """The policy's tick at the last use."""
    base: float = 0.0
    """The policy's clock at the last use or release."""
    confirmed: PageKeys | None = None
    """The keys of the published prefix whose tokens here were compared with this node's last, and equal."""
    held: bool = False
    """True while a session holds it: it gives way after all that are not held."""

    @property
    def full(self) -> bool:
        """Whether the page has all PAGE_TOKENS positions."""
        return len(self.token_ids) == PAGE_TOKENS

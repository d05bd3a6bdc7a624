"""`Occupancy`: use of the page budget at one moment; and an audit that counts every page's holders anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kvproxy.engine.cache.page_pool import PagePool
from kvproxy.engine.cache.prefix_index import Node


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Counts of pages at one moment. ``free + held == total`` always."""

    total: int
    """Pages that can be handed out."""
    free: int
    held: int
    """Pages with at least one holder."""
    evictable: int
    """Held pages that may be evicted."""
    nodes: int
    """Nodes of the prefix index, in memory or on disk."""
    pinned: int = 0
    """Pages that publishers have pinned."""
    spilled: int = 0
    """Nodes with a copy in the spill tier."""
    evicted: int = 0
    """Pages that made room for others since the start."""


def holder_faults(
    pool: PagePool, nodes: Iterable[Node], sequence_pages: Iterable[Sequence[int]]
) -> list[str]:
    """Return every difference between the pool's holder counts and the holders that exist, in words.

    ``sequence_pages``: the pages of every live sequence.

    Example: ``holder_faults(pool, index, [s.pages for s in live])``
    """
    faults: list[str] = []
    expected = [0] * len(pool.refs)
    for pages in sequence_pages:
        for page in pages:
            expected[page] += 1
    for node in nodes:
        if node.page is not None:
            expected[node.page] += 1
    for page in range(1, len(expected)):
        if expected[page] != pool.refs[page]:
            faults.append(
                f"page {page} has {pool.refs[page]} holders by its count, {expected[page]} were found"
            )
    free = sum(1 for refs in pool.refs if refs == 0)
    if free != pool.free:
        faults.append(f"{free} pages have no holder, {pool.free} are counted free")
    return faults

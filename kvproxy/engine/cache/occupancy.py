"""`Occupancy`: how the page budget is used at one moment; and an audit that counts every page's holders anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kvproxy.engine.cache.page_pool import PagePool
from kvproxy.engine.cache.prefix_index import Node


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Counts of pages at one moment. ``free + held == total`` always."""

    total: int
    free: int
    held: int
    evictable: int
    nodes: int
    pinned: int = 0
    """Pages that publishers want to stay."""
    spilled: int = 0
    """Nodes with a copy in the spill tier."""


def holder_faults(
    pool: PagePool, nodes: Iterable[Node], sequence_pages: Iterable[Sequence[int]]
) -> list[str]:
    """Return every difference between the pool's counts and the holders that there are, in words.

    ``sequence_pages``: the pages of every live sequence.
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
            faults.append(f"page {page} has {pool.refs[page]} holders, {expected[page]} are known")
    free = sum(1 for refs in pool.refs if refs == 0)
    if free != pool.free:
        faults.append(f"{free} pages have no holder, {pool.free} are counted free")
    return faults

"""`pages_worth_taking`: loads pages from disk as far as that is cheaper than computing them again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_costs import PageCosts
from kvproxy.engine.cache.prefix_index import Node, PrefixMatch

WORTH_S = 0.02
"""Seconds that computing must save before kept pages are left on disk. Below that, measured times decide nothing: one
slow moment of the machine would turn hits into misses."""


@dataclass(frozen=True, slots=True)
class PageChoice:
    """One page of a match, in order: the seconds of either way to have it. ``load_s`` is 0 for one in memory."""

    load_s: float
    compute_s: float


def pages_worth_taking(pages: Sequence[PageChoice], least: int = 0) -> int:
    """Return the number of leading pages to take from memory or disk; those behind them are computed.

    What is taken must be a prefix, since a page is computed behind all pages before it. Computing a page costs more
    the deeper it stands, and loading does not, so that the answer is nearly always none or all. ``least``: pages that
    are taken at any price, such as those of a hit that was promised.

    Example: ``pages_worth_taking([PageChoice(load_s=0.004, compute_s=0.3)] * 30) == 30``
    """
    best, cheapest = len(pages), sum(page.load_s for page in pages)
    everything = cheapest
    seconds = cheapest
    for count in range(len(pages) - 1, least - 1, -1):
        seconds += pages[count].compute_s - pages[count].load_s
        if seconds < cheapest:
            best, cheapest = count, seconds
    return best if everything - cheapest > WORTH_S else len(pages)


def worth_taking(
    found: PrefixMatch, costs: PageCosts, far: Callable[[Node], bool], least: int
) -> PrefixMatch:
    """Return the part of a match that is cheaper to take than to compute: all of one in memory.

    ``far``: whether a node's page comes from an object store; ``least``: positions that are taken at any price.

    Example: ``worth_taking(index.match(ids, scopes, limit), costs, far=lambda node: False, least=0)``
    """
    if all(node.page is not None for node in found.nodes):
        return found
    pages = [
        PageChoice(
            0.0 if node.page is not None else costs.load_s_of(far=far(node)),
            costs.compute_s(i, min(PAGE_TOKENS, found.tokens - i * PAGE_TOKENS)),
        )
        for i, node in enumerate(found.nodes)
    ]
    count = pages_worth_taking(pages, min(-(-least // PAGE_TOKENS), len(pages)))
    if count == len(pages):
        return found
    return PrefixMatch(found.nodes[:count], count * PAGE_TOKENS, dearer=True)

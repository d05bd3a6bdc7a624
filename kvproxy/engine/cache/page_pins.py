"""Publishers' pins: pages of a published prefix that stay in memory."""

from __future__ import annotations

from kvproxy.core import Kept
from kvproxy.engine.cache.kv_cache import KVCache, PinOutcome
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.errors import CannotFit

SHARE = 0.5
"""Share of the page budget that pinned pages may take: the rest is for prefills and decoding."""


def most_pinned(cache: KVCache) -> int:
    """Return the most pages that may be pinned at one time."""
    return int(cache.pool.total * SHARE)


def pin_prefix(cache: KVCache, kept: Kept, scope: str) -> tuple[Node, ...] | PinOutcome:
    """Pin the pages of ``kept``; return its nodes, or ABSENT or BUSY when that is not possible now. Engine thread only.

    Raises CannotFit when pinned pages would take more than their share.

    Example: ``nodes = pin_prefix(cache, framing.kept, scope="public")``
    """
    nodes: list[Node] = []
    parent_key, done = cache.index.root, 0
    for page in kept.pages:
        node = cache.find(scope, parent_key, page.key, kept.token_ids[done : done + page.tokens])
        if node is None:
            return PinOutcome.ABSENT
        nodes.append(node)
        parent_key, done = page.key, done + page.tokens
    outcome = cache.pin(nodes, most_pinned(cache))
    if outcome is PinOutcome.OVER_BUDGET:
        raise CannotFit(
            f"Pinned documents take {cache.pinned} of the {most_pinned(cache)} pages that they may take, and this one "
            f"needs {len(nodes)}. Unpin another, or raise engine.page_budget.",
            param="pinned",
        )
    return tuple(nodes) if outcome is PinOutcome.PINNED else outcome

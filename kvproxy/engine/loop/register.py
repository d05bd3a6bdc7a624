"""Makes what a sequence has computed findable for the next reader."""

from __future__ import annotations

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.engine.loop.sequence import Sequence


def register(cache: KVCache, seq: Sequence, *, unified: bool, partial: bool) -> Node | None:
    """Register the sequence's full pages and, with ``partial``, its last one as far as it goes.

    Where decode rows have other bits than prompt rows, the answer's positions stay private, and so do those
    that the job keeps for itself. Returns the partial page's node.
    """
    end = seq.computed if unified else min(seq.computed, seq.prompt_tokens)
    until = seq.job.registers_until
    if until is not None:
        end = min(end, until)
    while (seq.registered + 1) * PAGE_TOKENS <= end:
        node = _add(cache, seq, seq.registered, (seq.registered + 1) * PAGE_TOKENS)
        if node is None:
            return None
        seq.chain.append(node)
        seq.registered += 1
    if partial and end > seq.registered * PAGE_TOKENS:
        return _add(cache, seq, seq.registered, end)
    return None


def _add(cache: KVCache, seq: Sequence, index: int, end: int) -> Node | None:
    parent = seq.chain[-1] if seq.chain else None
    return cache.register(seq.scope_of(end), parent, seq.page_tokens(index, end), seq.pages[index])

"""Positions that a fleet's replicas compute again since they cache whole blocks alone. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from kvproxy.core.prompts import Span


def whole_blocks(position: int, block_tokens: int) -> int:
    """Return the end of the last whole block before ``position``; ``position`` itself where there are no blocks."""
    return position if block_tokens <= 0 else position - position % block_tokens


def rounded_tokens(spans: Sequence[Span], cached_tokens: int, block_tokens: int) -> int:
    """Return the positions of a document that were computed though all of its whole blocks were cached: those between
    the last whole block's end and the document's.

    Example: ``rounded_tokens((Span(ref, 0, 1003),), 896, 128) == 107``
    """
    if block_tokens <= 0:
        return 0
    cut = next((span for span in spans if span.start <= cached_tokens < span.end), None)
    if cut is None or cached_tokens < whole_blocks(cut.end, block_tokens):
        return 0
    return cut.end - cached_tokens

"""`shared_tail`: the part of a prefix that is its document's own tokens, which need not be stored or made twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvproxy.core.common_prefix import common_prefix

_ANCHOR = 16
"""Tokens at the prefix's end that are looked for in the document."""
_BEHIND = 64
"""Tokens of the document that may stand behind its prefix's end."""


@dataclass(frozen=True, slots=True)
class SharedTail:
    """A prefix is its first ``head`` tokens, and ``document[token : token + count]``."""

    head: int
    token: int
    count: int


def shared_tail(prefix: Sequence[int], document: Sequence[int]) -> SharedTail:
    """Return the longest end of ``prefix`` that is found near the end of ``document``; without one, ``count`` is 0.

    Example:
        ``tail = shared_tail(framed.token_ids, tokenized.token_ids)``
    """
    anchor = tuple(prefix[-_ANCHOR:])
    for end in range(len(document), max(0, len(document) - _BEHIND), -1):
        if tuple(document[max(0, end - _ANCHOR) : end]) == anchor:
            count = common_prefix(tuple(prefix[::-1]), tuple(document[:end][::-1]))
            return SharedTail(len(prefix) - count, end - count, count)
    return SharedTail(len(prefix), 0, 0)

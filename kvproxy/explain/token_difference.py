"""`token_difference`: the text around the first differing token of two prompts, decoded from their token ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvproxy.core.common_prefix import common_prefix
from kvproxy.explain.text_difference import AFTER, BEFORE, TextDifference

Decode = Callable[[Sequence[int]], str]

TOKENS_BEFORE = 64
TOKENS_AFTER = 128
"""Tokens around a difference that are decoded: a page's worth costs a few tens of microseconds."""
_BROKEN = "\ufffd"


def token_difference(
    sent: Sequence[int], other: Sequence[int], common: int, decode: Decode, *, whole: bool = False
) -> TextDifference:
    """Return the first difference in text of two prompts that have ``common`` tokens in common.

    It may lie behind that of the tokens: two cuts of one text differ in tokens alone, and the result's ``none`` is true
    where that is so to the window's end. ``whole``: decode both from their beginnings, and count ``position`` from
    there; else it counts from the window's beginning. ``decode`` turns token ids into text, control tokens included.

    Example:
        ``token_difference(prompt.token_ids, request.token_ids, near.common, composer.decode)``
    """
    begin = 0 if whole else max(0, common - TOKENS_BEFORE)
    ours = _decoded(sent[begin : common + TOKENS_AFTER], decode)
    theirs = _decoded(other[begin : common + TOKENS_AFTER], decode)
    at = common_prefix(ours, theirs)
    ended = max(len(sent), len(other)) <= common + TOKENS_AFTER
    return TextDifference(
        at, ours[max(0, at - BEFORE) : at], ours[at : at + AFTER], theirs[at : at + AFTER], whole=ended
    )


def _decoded(ids: Sequence[int], decode: Decode) -> str:
    # A character of several tokens may be cut at both ends of a window.
    return decode(ids).strip(_BROKEN)

"""`token_difference`: the text around the first differing token of two prompts, decoded from their token ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kvproxy.explain.text_difference import AFTER, BEFORE, TextDifference, first_difference

Decode = Callable[[Sequence[int]], str]

TOKENS_BEFORE = 64
TOKENS_AFTER = 128
"""Tokens around a difference that are decoded: a page's worth costs a few tens of microseconds."""
_BROKEN = "\ufffd"


@dataclass(frozen=True, slots=True)
class TokenWindow:
    """The tokens that are decoded around a difference, and the characters that are kept of them."""

    tokens_before: int | None = TOKENS_BEFORE
    """None: from the prompts' beginnings."""
    tokens_after: int = TOKENS_AFTER
    before: int = BEFORE
    after: int = AFTER


NARROW = TokenWindow()
WIDE = TokenWindow(4096, 8192, 1 << 16, 1 << 16)
"""For JSON, whose other half may stand far behind. Decoding it takes some milliseconds."""
WHOLE = TokenWindow(None, 8192, 1 << 16, 1 << 16)
"""With ``position`` counted from the prompts' beginnings."""


def token_difference(
    sent: Sequence[int], other: Sequence[int], common: int, decode: Decode, window: TokenWindow = NARROW
) -> TextDifference:
    """Return the first difference in text of two prompts that have ``common`` tokens in common.

    It may lie behind that of the tokens: two cuts of one text differ in tokens alone, and the result's ``none`` is true
    where that is so to the window's end. ``position`` counts from the window's beginning. ``decode`` turns token ids
    into text, control tokens included.

    Example:
        ``token_difference(prompt.token_ids, request.token_ids, near.common, composer.decode)``
    """
    begin = 0 if window.tokens_before is None else max(0, common - window.tokens_before)
    end = common + window.tokens_after
    ours, theirs = _decoded(sent[begin:end], decode), _decoded(other[begin:end], decode)
    difference = first_difference(ours, theirs, before=window.before, after=window.after)
    return replace(difference, whole=difference.whole and max(len(sent), len(other)) <= end)


def _decoded(ids: Sequence[int], decode: Decode) -> str:
    # A character of several tokens may be cut at both ends of a window.
    return decode(ids).strip(_BROKEN)

"""`form_cause`: tells texts apart that differ in white space or in the form of equal characters alone. Pure."""

from __future__ import annotations

import re
import unicodedata

from kvproxy.core import MissCause

_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))
_STRAIGHT = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        "\u2026": "...",
    }
)
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_COMPARED = 24
"""Characters without white space that must agree: two texts share a few by chance."""


def form_cause(sent: str, other: str, *, whole: bool = False) -> MissCause | None:
    """Return WHITESPACE or UNICODE_FORM where two texts that differ in their first characters agree without regard to
    that; None elsewhere.

    ``whole``: both texts are shown to their ends, else they are windows that break off anywhere.

    Example:
        ``form_cause("\\r\\nBe kind, and be brief today.", "\\nBe kind, and be brief today.")``
    """
    if not (_begins_blank(sent) or _begins_blank(other)):
        return MissCause.UNICODE_FORM if _agree(_plain(sent), _plain(other), whole=whole) else None
    if _agree(without_space(sent), without_space(other), whole=whole):
        return MissCause.WHITESPACE
    plain = (without_space(_plain(sent)), without_space(_plain(other)))
    return MissCause.UNICODE_FORM if _agree(*plain, whole=whole) else None


def without_space(text: str) -> str:
    """Return ``text`` without white space and invisible characters."""
    return "".join(text.translate(_INVISIBLE).split())


def _begins_blank(text: str) -> bool:
    return not text or text[0].isspace() or ord(text[0]) in _INVISIBLE


def _plain(text: str) -> str:
    """Return the text with one form for each character that has several."""
    unescaped = _ESCAPED.sub(lambda m: chr(int(m[1], 16)), text)
    # A window may break off between a letter and its accent, which then stands alone at the end.
    return (
        unicodedata.normalize("NFKC", unescaped).translate(_STRAIGHT).rstrip("\u0300\u0301\u0302\u0303\u0308")
    )


def _agree(sent: str, other: str, *, whole: bool) -> bool:
    if whole and (len(sent) < _COMPARED or len(other) < _COMPARED):
        return sent == other
    compared = min(len(sent), len(other), _COMPARED)
    return compared >= _COMPARED // 2 and sent[:compared] == other[:compared]

"""`TextDifference`: the first place where two texts part, with what stands around it in both. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.core.common_prefix import common_prefix

BEFORE = 320
"""Characters of the common text that are kept in front of a difference."""
AFTER = 640
"""Characters that are kept of each text behind it."""


@dataclass(frozen=True, slots=True)
class TextDifference:
    """The first difference of two texts: both have ``before``, then one has ``sent`` and the other ``other``."""

    position: int
    """The first differing character of both, counted from their beginning."""
    before: str
    """The end of the common text."""
    sent: str
    """The caller's text from the difference on."""
    other: str
    """The text that it was compared with, from the difference on."""
    whole: bool = False
    """True when ``sent`` and ``other`` run to the ends of both texts."""

    @property
    def none(self) -> bool:
        """True when the texts are equal, or one is the beginning of the other."""
        return not self.sent or not self.other


def first_difference(sent: str, other: str, *, before: int = BEFORE, after: int = AFTER) -> TextDifference:
    """Return the first difference of two texts, with ``before`` and ``after`` characters around it.

    Example:
        ``first_difference("Turn 4. Be kind.", "Turn 5. Be kind.").position == 5``
    """
    at = common_prefix(sent, other)
    return TextDifference(
        at,
        sent[max(0, at - before) : at],
        sent[at : at + after],
        other[at : at + after],
        whole=max(len(sent), len(other)) <= at + after,
    )

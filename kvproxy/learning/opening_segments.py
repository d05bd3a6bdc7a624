"""`opening_segments`: the places where the opening of a text may end, each with a keyed digest of all before it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

SEGMENT = 512
"""Characters of a segment at least: it ends with the first line end behind them. A shared text is learned up to the
last such place, so that less than a line more than this is lost at its end."""
LONGEST_LINE = 2048
"""Characters after which a segment ends without a line end."""


@dataclass(frozen=True, slots=True)
class OpeningSegment:
    """A beginning of a text, up to where a segment ends."""

    end: int
    """Characters of the beginning."""
    digest: bytes
    """Keyed digest of ``text[:end]``, 16 bytes."""


def opening_segments(text: str, key: bytes) -> Iterator[OpeningSegment]:
    """Yield the beginnings of ``text`` that end with a segment, the shortest first; none for a short text.

    Two texts that begin alike have the same segments up to where they part, since a segment's end depends on what is
    before it alone. Costs one pass. ``key``: 1 to 64 bytes, without which nobody can make texts of equal digests.

    Example:
        ``[segment.end for segment in opening_segments(text, key)]``
    """
    digest = hashlib.blake2b(key=key, digest_size=16)
    start = 0
    while start + SEGMENT <= len(text):
        line_end = text.find("\n", start + SEGMENT - 1, start + LONGEST_LINE)
        end = line_end + 1 if line_end >= 0 else start + LONGEST_LINE
        if end > len(text):
            return
        digest.update(text[start:end].encode("utf-8", "surrogatepass"))
        yield OpeningSegment(end, digest.copy().digest())
        start = end

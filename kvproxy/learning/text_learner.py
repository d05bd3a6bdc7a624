"""`TextLearner`: notices texts that several requests of a tenant begin with, from digests alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from kvproxy.learning.opening_segments import opening_segments
from kvproxy.learning.opening_text import LEARNED
from kvproxy.learning.tenant_sketches import READERS, TenantSketch, TenantSketches

LONGER = 1.25
"""A text that continues a learned one is learned too where it is this many times as long."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The opening of one request, to be counted."""

    scope: str
    """The tenant's scope: counts of one tenant never meet another's."""
    text: str
    request: bytes
    """A digest of the whole prompt, by which a retry is no second reader."""
    known: int = 0
    """Characters at its front that are a learned document already."""


@dataclass(frozen=True, slots=True)
class LearnableText:
    """A text that READERS requests of a tenant have begun with, and the id that it is kept under."""

    scope: str
    id: str
    text: str
    digest: bytes
    """Of the text, under the tenant's key: for :meth:`TextLearner.refuse`."""


class TextLearner:
    """Counts of openings by tenant. Keeps digests and counts, no text. Not thread-safe; a call costs the text's length.

    Example:
        ``found = learner.note(Opening(caller.scope, text, digest))``
    """

    def __init__(self, min_characters: int = 4_000, sketches: TenantSketches | None = None) -> None:
        """``min_characters``: shorter texts are not worth a document of their own."""
        self._min = min_characters
        self._sketches = TenantSketches() if sketches is None else sketches

    @property
    def size(self) -> int:
        """Bytes of all counts."""
        return self._sketches.size

    def note(self, opening: Opening) -> LearnableText | None:
        """Count an opening; return the longest beginning of it that is to be kept now, if there is one.

        The same prompt again counts nothing: it is a retry, and no second reader.
        """
        if len(opening.text) < self._min:
            return None
        sketch = self._sketches.of(opening.scope)
        if sketch.requests.add(opening.request) > 1:
            return None
        best: tuple[int, bytes] | None = None
        for segment in opening_segments(opening.text, sketch.key):
            # The count of a beginning is never below that of a longer one, so the last that is frequent is the best.
            if sketch.openings.add(segment.digest) >= READERS:
                best = (segment.end, segment.digest)
        return None if best is None else self._learnable(opening, sketch, *best)

    def refuse(self, scope: str, text: str) -> None:
        """Never learn a text again, which its owner deleted; until the tenant's counts are forgotten."""
        sketch = self._sketches.of(scope)
        for segment in opening_segments(text, sketch.key):
            if segment.end >= len(text):
                sketch.refused.add(segment.digest)

    def _learnable(
        self, opening: Opening, sketch: TenantSketch, end: int, digest: bytes
    ) -> LearnableText | None:
        if end < max(self._min, opening.known * LONGER) or sketch.refused.count(digest):
            return None
        text = opening.text[:end]
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        return LearnableText(opening.scope, f"{LEARNED}{name}", text, digest)

"""`WarmReport`: what a warming loaded and computed, and the tokens in memory before and after it. Pure values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FramingWarmth:
    """One framing of a document, in tokens: ``loaded`` from disk, ``computed``, in memory ``before`` and ``after``."""

    framing: str
    tokens: int
    before: int
    after: int
    loaded: int
    computed: int


@dataclass(frozen=True, slots=True)
class WarmReport:
    """The result of warming a document version. Sums count a page that framings share once for each of them."""

    document: str
    framings: tuple[FramingWarmth, ...]
    seconds: float
    """From the request to the last page, waiting for other requests included."""

    @property
    def before(self) -> int:
        """Tokens in memory before."""
        return sum(framing.before for framing in self.framings)

    @property
    def after(self) -> int:
        """Tokens in memory after; fewer than all where other requests needed the memory meanwhile."""
        return sum(framing.after for framing in self.framings)

    @property
    def loaded(self) -> int:
        """Tokens read from disk or from the object store."""
        return sum(framing.loaded for framing in self.framings)

    @property
    def computed(self) -> int:
        """Tokens prefilled."""
        return sum(framing.computed for framing in self.framings)

"""`DocumentReads`: reads of document versions from kept pages, and the tokens that they saved."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from kvproxy.core import DocumentRef


@dataclass(frozen=True, slots=True)
class ReadFigures:
    """The reads of one version."""

    reads: int = 0
    saved_tokens: int = 0
    """Positions of the document that were taken from kept pages."""
    last_read: int = 0
    """Unix seconds of the last read; 0 where there was none."""


NO_READS = ReadFigures()


class DocumentReads:
    """Figures of reads by version, for people and for choosing what gives way; money is the ledger's. Event loop only.

    Example:
        ``reads.note(span.document, cached); reads.of(ref).saved_tokens``
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._figures: dict[DocumentRef, ReadFigures] = {}
        self._changed: set[DocumentRef] = set()

    def restore(self, ref: DocumentRef, figures: ReadFigures) -> None:
        """Set what earlier processes counted."""
        self._figures[ref] = figures

    def note(self, ref: DocumentRef, saved_tokens: int) -> None:
        """Count a read of exactly this version."""
        before = self.of(ref)
        self._figures[ref] = ReadFigures(
            before.reads + 1, before.saved_tokens + saved_tokens, int(self._clock())
        )
        self._changed.add(ref)

    def of(self, ref: DocumentRef) -> ReadFigures:
        """Return the figures of exactly this version."""
        return self._figures.get(ref, NO_READS)

    def take_changed(self) -> dict[DocumentRef, ReadFigures]:
        """Return the figures that have changed since the last call, to be written."""
        changed, self._changed = self._changed, set()
        return {ref: self._figures[ref] for ref in changed if ref in self._figures}

    def forget(self, ref: DocumentRef) -> None:
        """Drop the figures of a version that was deleted."""
        self._figures.pop(ref, None)
        self._changed.discard(ref)

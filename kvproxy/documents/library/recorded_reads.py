"""`RecordedReads`: the reads of a document version from kept pages, as sums that add up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecordedReads:
    """Reads of a version from kept pages."""

    reads: int = 0
    last_read: int = 0
    """Unix seconds of the last one; 0 where there was none."""
    saved_tokens: int = 0
    """Positions of the document that were not computed for them."""

    def after(self, earlier: RecordedReads) -> RecordedReads:
        """Return these reads and earlier ones together."""
        last = max(self.last_read, earlier.last_read)
        return RecordedReads(self.reads + earlier.reads, last, self.saved_tokens + earlier.saved_tokens)

    def since(self, earlier: RecordedReads) -> RecordedReads:
        """Return what these reads have beyond earlier ones that they include."""
        return RecordedReads(
            self.reads - earlier.reads, self.last_read, self.saved_tokens - earlier.saved_tokens
        )

"""`DocumentUse`: the reads of one document version and what they saved, by one tenant or by all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DocumentUse:
    """Sums over the requests with the document in their prompt."""

    reads: int = 0
    """Requests that took tokens of it from kept pages: its hits."""
    misses: int = 0
    """Requests that had it in their prompt, and computed all of it."""
    cached_tokens: int = 0
    last_read: int | None = None
    """Unix seconds of the last read."""
    saved_us: int = 0
    """Microseconds of prefill that its cached tokens would have taken."""
    saved: Mapping[str, int] = field(default_factory=dict)
    """Its part of what the readers paid below the cold price: nano-units by currency."""

    @property
    def hits(self) -> int:
        """The reads, by the word that stands beside ``misses``."""
        return self.reads

    @property
    def saved_s(self) -> float:
        """Seconds of prefill that were not computed."""
        return self.saved_us / 1e6

    def __add__(self, other: DocumentUse) -> DocumentUse:
        moments = [moment for moment in (self.last_read, other.last_read) if moment is not None]
        saved = dict(self.saved)
        for currency, nano in other.saved.items():
            saved[currency] = saved.get(currency, 0) + nano
        return DocumentUse(
            self.reads + other.reads,
            self.misses + other.misses,
            self.cached_tokens + other.cached_tokens,
            max(moments, default=None),
            self.saved_us + other.saved_us,
            saved,
        )


@dataclass(frozen=True, slots=True)
class DocumentDay:
    """The use of a document within one day, UTC."""

    day: int
    """Days since 1970-01-01."""
    use: DocumentUse

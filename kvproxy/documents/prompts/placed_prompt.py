"""`PlacedPrompt`: the tokens of a rendered conversation, with the places of documents and marks in them."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvproxy.core import Span
from kvproxy.documents.library.library import KnownDocument
from kvproxy.documents.tokens.escape import Segments
from kvproxy.documents.tokens.token_join import DocumentPlace, Joined


@dataclass(slots=True)
class PlacedPrompt:
    """Tokens of a rendered conversation, and the slot and position of every document and mark in it."""

    token_ids: list[int] = field(default_factory=list)
    places: list[tuple[int, DocumentPlace]] = field(default_factory=list)
    stops: list[tuple[int, int, bool]] = field(default_factory=list)
    """Triples of a mark, its position, and whether the position lies behind the start of the mark's region."""

    def append(self, region: Segments, joined: Joined) -> None:
        """Add a region's tokens, with its documents and marks moved to their positions in the prompt."""
        base = len(self.token_ids)
        self.token_ids.extend(joined.token_ids)
        for slot, place in zip(region.slots, joined.places, strict=True):
            self.places.append((slot, DocumentPlace(base + place.start, base + place.end)))
        self.stops += [(mark, base + position, position > 0) for mark, position in joined.stops]


def published_tokens(known: KnownDocument, token_ids: tuple[int, ...]) -> int:
    """Return the length in tokens of the longest published prefix of a document that ``token_ids`` begin with."""
    begun = [len(prefix.token_ids) for prefix in known.prefixes if _starts(token_ids, prefix.token_ids)]
    return max(begun, default=0)


def document_span(known: KnownDocument, place: DocumentPlace, begun: int) -> Span:
    """Return the span, in the document's own scope when the prompt starts with a published prefix of ``begun`` tokens.

    Example:
        ``span = document_span(known, place, published_tokens(known, token_ids))``
    """
    bad = known.quarantined is not None
    if begun > place.start:
        return Span(known.document.ref, place.start, begun, known.document.scope, bad)
    return Span(known.document.ref, place.start, place.end, quarantined=bad)


def _starts(token_ids: tuple[int, ...], prefix: tuple[int, ...]) -> bool:
    """Return whether ``token_ids`` start with ``prefix``. The last token is compared first: most prefixes of other
    spellings differ there, and cost no copy."""
    length = len(prefix)
    return length <= len(token_ids) and token_ids[length - 1] == prefix[-1] and token_ids[:length] == prefix

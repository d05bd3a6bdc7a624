"""`PlacedPrompt`: the tokens of a rendered conversation, with the places of documents and marks in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kvproxy.core import Span
from kvproxy.documents.library.known_document import DocumentMatch, KnownDocument
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


def document_spans(
    placed: PlacedPrompt, matches: Sequence[DocumentMatch], publisher_of: Callable[[str], str]
) -> tuple[Span, ...]:
    """Return the span of each document of ``placed``, in order; ``matches`` are the documents by slot.

    Example:
        ``spans = document_spans(placed, contents.slots, rights.publisher)``
    """
    token_ids = tuple(placed.token_ids)
    begun = {id(match.known): published_tokens(match.known, token_ids) for match in matches}
    return tuple(
        document_span(
            match := matches[slot],
            place,
            begun[id(match.known)],
            publisher_of(match.known.document.owner_scope),
        )
        for slot, place in placed.places
    )


def document_span(match: DocumentMatch, place: DocumentPlace, begun: int, publisher: str) -> Span:
    """Return the span, in the document's own scope when the prompt starts with a published prefix of ``begun`` tokens.

    Example:
        ``span = document_span(match, place, published_tokens(match.known, token_ids), "alice")``
    """
    document = match.known.document
    own = begun > place.start
    return Span(
        document.ref,
        place.start,
        begun if own else place.end,
        document.scope if own else None,
        quarantined=match.known.quarantined is not None,
        etag=document.etag,
        publisher=publisher,
        grant=match.grant,
        by_reference=match.by_reference,
    )


def _starts(token_ids: tuple[int, ...], prefix: tuple[int, ...]) -> bool:
    """Return whether ``token_ids`` start with ``prefix``. The last token is compared first: most prefixes of other
    spellings differ there, and cost no copy."""
    length = len(prefix)
    return length <= len(token_ids) and token_ids[length - 1] == prefix[-1] and token_ids[:length] == prefix

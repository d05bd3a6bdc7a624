"""`PlacedPrompt`: the tokens of a rendered conversation, with the places of documents and marks in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kvproxy.core import KnownPrefix, Span
from kvproxy.documents.library.document import FramedPrefix, TokenizedDocument
from kvproxy.documents.library.known_document import DocumentMatch
from kvproxy.documents.tokens.escape import Segments
from kvproxy.documents.tokens.joined_tokens import DocumentPlace, Joined

_FEW = 64
"""Tokens that are compared first."""


@dataclass(slots=True)
class PlacedPrompt:
    """Tokens of a rendered conversation, and the slot and position of every document and mark in it."""

    token_ids: list[int] = field(default_factory=list)
    places: list[tuple[int, DocumentPlace]] = field(default_factory=list)
    stops: list[tuple[int, int, bool]] = field(default_factory=list)
    """Triples of a mark, its position, and whether the position lies behind the start of the mark's region."""

    def append(self, region: Segments, joined: Joined) -> None:
        """Add a region's tokens, with its documents and marks moved to their positions in the prompt. The list in
        ``joined`` may become the prompt's own."""
        base = len(self.token_ids)
        if base < len(joined.token_ids):
            # A document's region is the longest by far: what stands before it is put in front of it.
            joined.token_ids[:0] = self.token_ids
            self.token_ids = joined.token_ids
        else:
            self.token_ids.extend(joined.token_ids)
        self.places += [
            (slot, place.moved(base)) for slot, place in zip(region.slots, joined.places, strict=True)
        ]
        self.stops += [(mark, base + position, position > 0) for mark, position in joined.stops]


@dataclass(frozen=True, slots=True)
class PlacedDocuments:
    """The documents of a prompt, and the longest published prefix that it begins with."""

    spans: tuple[Span, ...] = ()
    known: KnownPrefix | None = None


def published_prefix(
    match: DocumentMatch, token_ids: tuple[int, ...], place: DocumentPlace
) -> FramedPrefix | None:
    """Return the longest published prefix of a document that ``token_ids`` begin with; the document is at ``place``.

    Example:
        ``prefix = published_prefix(match, prompt_ids, DocumentPlace(12, 3786))``
    """
    begun = [p for p in match.known.prefixes if _starts(token_ids, p, match.tokenized, place)]
    return max(begun, key=lambda prefix: len(prefix.token_ids), default=None)


def placed_documents(
    token_ids: tuple[int, ...],
    places: Sequence[tuple[int, DocumentPlace]],
    matches: Sequence[DocumentMatch],
    publisher_of: Callable[[str], str],
) -> PlacedDocuments:
    """Return the span of each document of a prompt, in order; ``matches`` are the documents by slot.

    Example:
        ``placed_documents(token_ids, placed.places, contents.slots, rights.publisher).spans``
    """
    prefixes: dict[int, FramedPrefix | None] = {}
    for slot, place in places:
        known = id(matches[slot].known)
        if known not in prefixes:
            prefixes[known] = published_prefix(matches[slot], token_ids, place)
    spans = []
    for slot, place in places:
        match, prefix = matches[slot], prefixes[id(matches[slot].known)]
        begun = 0 if prefix is None else len(prefix.token_ids)
        spans.append(document_span(match, place, begun, publisher_of(match.known.document.owner_scope)))
    found = [prefix for prefix in prefixes.values() if prefix is not None]
    longest = max(found, key=lambda prefix: len(prefix.token_ids), default=None)
    return PlacedDocuments(
        tuple(spans), None if longest is None else KnownPrefix(len(longest.token_ids), longest.keys)
    )


def document_span(match: DocumentMatch, place: DocumentPlace, begun: int, publisher: str) -> Span:
    """Return the span, in the document's own scope when the prompt starts with a published prefix of ``begun`` tokens.

    Example:
        ``span = document_span(match, place, len(prefix.token_ids), "alice")``
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


def _starts(
    token_ids: tuple[int, ...], prefix: FramedPrefix, document: TokenizedDocument, place: DocumentPlace
) -> bool:
    """Return whether ``token_ids`` start with ``prefix``. The last token is compared first, then the first ones: most
    other prefixes differ there, and cost no copy."""
    wanted = prefix.token_ids
    length = len(wanted)
    if (
        length > len(token_ids)
        or token_ids[length - 1] != wanted[-1]
        or token_ids[: min(_FEW, length)] != wanted[:_FEW]
    ):
        return False
    own = place.own
    if own is not None and own < length <= place.end:
        return token_ids[:own] == wanted[:own] and prefix.ends_with(document, own, place.resume)
    return token_ids[:length] == wanted

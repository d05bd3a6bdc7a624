"""`place_at_front`: a request with its known documents at the head of the system message, where their KV is reused.

KV is shared from position 0 on, so a document behind an instruction or in a later message is computed anew each time.
A client that asks for it (``kv_placement: front``) gets another prompt: each known document of at least a page stands
once at the front, and a note stands where it was. What the documents say to the model stays; the order of the words
does not, and so it is never done unasked.

Documents are looked for at the beginnings of lines, and behind a tag, a colon or a quotation mark, and not within a
line's words: a search at every character would cost many times as much.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from kvproxy.core import PAGE_TOKENS, Caller, ChatRequest, DocumentPart, DocumentRef, Message, Part, TextPart
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.known_document import DocumentMatch
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.model_format import ModelFormat
from kvproxy.documents.prompts.usable_framings import takes_framing

MOST_PLACES = 20_000
"""Places of one request that are looked at: the cost of a text that resembles a document everywhere is bounded."""

_PLACE = re.compile(r'(?:\A|[\n>:"\u201c`])\s*')
_NOTE = "[document {number} at the beginning: {ref}]"
_ROLES = ("system", "user", "tool")


@dataclass(frozen=True, slots=True)
class FrontPlacement:
    """The request that is served in the place of the client's, and the documents that were moved."""

    request: ChatRequest
    moved: tuple[DocumentRef, ...] = ()
    """In the order of their texts now. Empty where nothing had to move: then the request is the client's own."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A document as a part of its own."""

    match: DocumentMatch
    part: Part

    @property
    def name(self) -> str:
        """The same for each copy of one version in one spelling."""
        return f"{self.match.known.document.ref.name} {self.match.known.document.version} {self.match.tokenized.key}"


@dataclass(frozen=True, slots=True)
class _CutPart:
    """A part as texts and documents, in their order; without pieces it stays as it is."""

    part: Part
    pieces: tuple[str | _Found, ...]

    def told(self, numbers: Mapping[str, int]) -> Part:
        """Return the part with a note for each document."""
        if not self.pieces:
            return self.part
        texts = [
            piece
            if isinstance(piece, str)
            else _NOTE.format(number=numbers[piece.name], ref=piece.match.known.document.ref)
            for piece in self.pieces
        ]
        return TextPart("".join(texts), mark=self.part.mark)


def placed_as_asked(
    request: ChatRequest, library: Library, caller: Caller, format: ModelFormat
) -> FrontPlacement:
    """Return the request as it is rendered: with its documents at the front, where the client asked for that and the
    template takes them there. Raises as ``place_at_front`` does.

    Example:
        ``request = placed_as_asked(request, library, caller, composer.format).request``
    """
    if request.placement == "keep" or not takes_framing(Framing("system"), format):
        return FrontPlacement(request)
    return place_at_front(request, library, caller)


def place_at_front(request: ChatRequest, library: Library, caller: Caller) -> FrontPlacement:
    """Move known documents to the front of the first message, or of a new system message.

    A document that is there already stays the first; the others follow, the longest first, so that the same documents
    make the same beginning. Raises DocumentNotFound and PermissionDenied for a reference, with the client's own path.

    Example:
        ``placed = place_at_front(request, library, caller)``
    """
    search = _Search(library, caller)
    cut = [search.cut(index, message) for index, message in enumerate(request.messages)]
    first = request.messages[0] if request.messages else None
    head = _head(cut[0]) if first is not None and first.role in ("system", "user") else []
    later = (_behind(cut[0], head), *cut[1:]) if cut else ()
    behind = [piece for some in later for part in some for piece in part.pieces if isinstance(piece, _Found)]
    if not behind:
        return FrontPlacement(request)
    found = {piece.name: piece for piece in head}
    moved = {piece.name: piece for piece in behind}
    added = sorted((piece for name, piece in moved.items() if name not in found), key=_longest_first)
    order = [*found.values(), *added]
    numbers = {piece.name: number for number, piece in enumerate(order, start=1)}
    front = tuple(piece.part for piece in order)
    messages = [
        replace(message, content=tuple(part.told(numbers) for part in some))
        for message, some in zip(request.messages, cut, strict=True)
    ]
    if first is not None and (first.role == "system" or head):
        rest = (part.told(numbers) for part in _behind(cut[0], head))
        messages[0] = replace(first, content=(*front, *rest))
    else:
        messages.insert(0, Message("system", front))
    refs = tuple(piece.match.known.document.ref for piece in order if piece.name in moved)
    return FrontPlacement(replace(request, messages=tuple(messages)), refs)


class _Search:
    """The search for documents in one request."""

    def __init__(self, library: Library, caller: Caller) -> None:
        self._library = library
        self._caller = caller
        self._places = MOST_PLACES

    def cut(self, index: int, message: Message) -> list[_CutPart]:
        """Return a message's parts, with the documents in those that may be moved."""
        if message.role not in _ROLES:
            return [_CutPart(part, ()) for part in message.content]
        return [
            _CutPart(part, tuple(self._pieces(part, f"messages[{index}].content[{i}]")))
            for i, part in enumerate(message.content)
        ]

    def _pieces(self, part: Part, where: str) -> Iterator[str | _Found]:
        if isinstance(part, DocumentPart):
            named = self._library.named(part.document, self._caller, param=f"{where}.document")
            yield _Found(named, replace(part, mark=False))
            return
        done = at = 0
        text = part.text
        while (place := _PLACE.search(text, at)) is not None and self._places > 0:
            self._places -= 1
            at = max(place.end(), place.start() + 1)
            begin = place.end()
            match = self._library.find_at_front(text, self._caller, begin) if begin < len(text) else None
            if match is None or not _worth_moving(match, text, begin):
                continue
            at = begin + len(match.tokenized.core)
            yield text[done:begin]
            yield _Found(match, TextPart(match.tokenized.core))
            done = at
        yield text[done:]


def _worth_moving(match: DocumentMatch, text: str, begin: int) -> bool:
    """Return whether a match at ``begin`` has a page of its own, and no word goes on behind it."""
    core = match.tokenized.core
    end = begin + len(core)
    word = core[-1].isalnum() and text[end : end + 1].isalnum()
    return len(match.tokenized.token_ids) >= PAGE_TOKENS and not word


def _head(parts: Sequence[_CutPart]) -> list[_Found]:
    """Return the documents that a message begins with, with nothing but white space between them."""
    pieces = [piece for part in parts for piece in part.pieces if isinstance(piece, _Found) or piece.strip()]
    return [
        piece
        for piece in takewhile(lambda piece: isinstance(piece, _Found), pieces)
        if isinstance(piece, _Found)
    ]


def _behind(parts: Sequence[_CutPart], head: Sequence[_Found]) -> list[_CutPart]:
    """Return a message's parts without the documents that it begins with."""
    left = len(head)
    rest: list[_CutPart] = []
    for part in parts:
        pieces = list(part.pieces)
        began = left > 0
        while left and pieces:
            left -= isinstance(pieces.pop(0), _Found)
        emptied = began and not any(isinstance(piece, _Found) or piece.strip() for piece in pieces)
        if not emptied:
            rest.append(replace(part, pieces=tuple(pieces)))
        elif part.part.mark:  # The mark is carried by the part before it.
            rest.append(_CutPart(part.part, ("",)))
    return rest


def _longest_first(found: _Found) -> tuple[int, str]:
    return (-len(found.match.tokenized.core), found.name)

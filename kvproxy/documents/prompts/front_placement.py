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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from kvproxy.core import (
    PAGE_TOKENS,
    Caller,
    ChatRequest,
    DocumentPart,
    DocumentRef,
    Message,
    Part,
    TextPart,
)
from kvproxy.documents.library.known_document import DocumentMatch
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.document_chain import ChainedDocument, document_chain

MOST_PLACES = 20_000
"""Places of one request that are looked at: the cost of a text that resembles a document everywhere is bounded."""

_PLACE = re.compile(r'(?:\A|[\n>:"\u201c`])\s*')
_NOTE = "[document {number} at the beginning: {ref}]"
_MOVED_FROM = ("system", "user", "tool")


@dataclass(frozen=True, slots=True)
class FrontPlacement:
    """The request that is served in the place of the client's, and the documents that were moved."""

    request: ChatRequest
    moved: tuple[DocumentRef, ...] = ()
    """In their new order. Empty where nothing had to move: then the request is the client's own."""


def place_at_front(request: ChatRequest, library: Library, caller: Caller) -> FrontPlacement:
    """Move known documents to the front of the first message, or of a new system message.

    Raises DocumentNotFound and PermissionDenied for a reference, with the client's own path.

    Example:
        ``placed = place_at_front(request, library, caller)``
    """
    mover = _Mover(library, caller)
    messages = list(request.messages)
    first = messages[0] if messages else None
    head, rest = mover.head(first.content) if first is not None else ([], ())
    if first is not None and (first.role == "system" or (first.role == "user" and head)):
        messages[0] = replace(first, content=tuple(rest))
    else:
        first, head = None, []
    for match in head:
        mover.number(match.match, match.part)
    kept = [mover.without_documents(i, message) for i, message in enumerate(messages)]
    moved = mover.found[len(head) :]
    if not moved:
        return FrontPlacement(request)
    order = [*mover.found[: len(head)], *sorted(moved, key=lambda f: (-len(f.match.tokenized.core), f.name))]
    numbers = {found.name: number for number, found in enumerate(order, start=1)}
    kept = [replace(m, content=tuple(_noted(part, numbers) for part in m.content)) for m in kept]
    front = tuple(found.part for found in order)
    if first is None:
        kept.insert(0, Message("system", front))
    else:
        kept[0] = replace(kept[0], content=(*front, *kept[0].content))
    refs = tuple(found.match.known.document.ref for found in order[len(head) :])
    return FrontPlacement(replace(request, messages=tuple(kept)), refs)

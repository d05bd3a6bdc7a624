"""`near_documents`: the known documents that a request's texts begin like, or hold behind other text. Pure lookups.

Only documents whose text the caller may fetch are compared in part: public ones and its own. Of others it learns that a
whole text of its own is such a document, and only where it has, or had, a grant for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kvproxy.core import Caller, ChatRequest, DocumentRef, MissCause, TextPart, TextRequest
from kvproxy.documents.library.library import Library
from kvproxy.explain.difference_cause import cause_of, volatile_cause
from kvproxy.explain.text_difference import TextDifference, first_difference
from kvproxy.explain.text_forms import form_cause, without_space

PARTS = 8
"""Parts at the front of a request in which documents are looked for."""
HEAD = 4096
"""Characters of a part in which a document may begin behind other text."""
STARTS = 32
"""Places in them that are tried: beginnings of lines and ends of tags."""
PROBE = 256
"""Characters by which a document is looked for at such a place, before all of it is compared."""
LEAST = 64
"""Common characters from which a text is an edited copy of a document, and no other text that begins alike."""
LINE = 24
"""Characters from which a line behind a difference tells an edited copy."""
LINES = 4
"""Such lines that are looked for."""

_STARTS = re.compile(r"(?<=[\n>:])\s*(?=\S)|\A[\ufeff\u200b\s]+(?=\S)")


@dataclass(frozen=True, slots=True)
class NearDocument:
    """A document near to one text of a request, and why it was not found there."""

    document: DocumentRef
    cause: MissCause
    message: int | None
    """Index of the message; None in a text completion."""
    difference: TextDifference
    """Of the request's text, on the side ``sent``, from the document's."""


@dataclass(frozen=True, slots=True)
class FrontText:
    """A text of a request in which a document could stand."""

    message: int | None
    text: str


def front_texts(request: ChatRequest | TextRequest) -> list[FrontText]:
    """Return the texts of the request's first parts, but for the assistant's."""
    if isinstance(request, TextRequest):
        return [FrontText(None, request.prompt)] if isinstance(request.prompt, str) else []
    found = [
        FrontText(index, part.text)
        for index, message in enumerate(request.messages[:PARTS])
        for part in message.content[:PARTS]
        if message.role != "assistant" and isinstance(part, TextPart) and part.text.strip()
    ]
    return found[:PARTS]


def near_documents(
    request: ChatRequest | TextRequest, library: Library, caller: Caller
) -> Iterator[NearDocument]:
    """Yield the documents near to the request's texts, in the order of the texts.

    Example:
        ``near = next(near_documents(request, library, caller), None)``
    """
    for front in front_texts(request):
        near = _ended(front, library, caller) or _behind(front, library, caller)
        near = near or _edited(front, library, caller)
        if near is not None:
            yield near


def _ended(front: FrontText, library: Library, caller: Caller) -> NearDocument | None:
    withdrawn = library.withdrawn.at_front(front.text, caller)
    if withdrawn is not None and library.find_at_front(front.text.lstrip(), caller) is None:
        cause = MissCause.REVOKED if withdrawn.ending == "revoked" else MissCause.EXPIRED
        equal = TextDifference(len(withdrawn.document.text.strip()), "", "", "")
        return NearDocument(withdrawn.document.ref, cause, front.message, equal)
    match = library.find_ended(front.text, caller)
    if match is None:
        return None
    equal = TextDifference(len(match.tokenized.core), "", "", "")
    return NearDocument(match.known.document.ref, MissCause.NOT_GRANTED, front.message, equal)


def _behind(front: FrontText, library: Library, caller: Caller) -> NearDocument | None:
    """Return the document that stands whole behind other text of the same part."""
    for count, found in enumerate(_STARTS.finditer(front.text[:HEAD])):
        if count == STARTS:
            break
        start = found.end()
        probe = library.nearest(front.text[start : start + PROBE], caller)
        if probe is None or probe.common < LEAST:
            continue
        match = library.find_at_front(front.text, caller, start)
        if match is not None:
            cause = volatile_cause(front.text[:start]) or _place_of(front.text[:start])
            difference = TextDifference(0, "", front.text[:HEAD], match.tokenized.core[:HEAD])
            return NearDocument(match.known.document.ref, cause, front.message, difference)
    return None


def _place_of(opening: str) -> MissCause:
    return MissCause.ROLE_OR_TEMPLATE if without_space(opening) else MissCause.WHITESPACE


def _edited(front: FrontText, library: Library, caller: Caller) -> NearDocument | None:
    """Return the document that the text begins like, with the cause of the first difference."""
    near = library.nearest(front.text, caller)
    if near is None:
        return None
    body, core = front.text.lstrip(), near.match.tokenized.core
    ref = near.match.known.document.ref
    if near.common == len(core):
        # Found, and yet no document of the prompt: its tokens are not its own there.
        long = len(core) >= HEAD
        cause = MissCause.ROLE_OR_TEMPLATE if long else MissCause.BOUNDARY_MERGE
        return NearDocument(ref, cause, front.message, first_difference(body, core))
    difference = first_difference(body, core)
    form = form_cause(difference.sent, difference.other, whole=difference.whole)
    if form is None and not _is_edited(body, core, near.common):
        return None
    cause = form or cause_of(difference)
    if cause in (MissCause.UNKNOWN, MissCause.COUNTER):
        cause = MissCause.OTHER_VERSION  # a number in a document's text counts nothing
    return NearDocument(ref, cause, front.message, difference)


def _is_edited(body: str, core: str, common: int) -> bool:
    """Return whether a text is a copy of a document with some of it changed, and not another text that begins alike,
    as two with one licence at their heads."""
    if common < LEAST:
        return False
    if 2 * common >= min(len(body), len(core)):
        return True
    behind = (line.strip() for line in body[common : common + HEAD].split("\n")[1:])
    return any(line in core for line in [line for line in behind if len(line) >= LINE][:LINES])

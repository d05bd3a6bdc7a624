"""`document_chain`: the known documents that a text begins with, one behind another."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.core import Caller
from kvproxy.documents.library.known_document import DocumentMatch
from kvproxy.documents.library.library import Library

MOST_CHAINED = 32
"""Documents that are looked for behind the first one of a text."""


@dataclass(frozen=True, slots=True)
class ChainedDocument:
    """A document in a text: its core is ``text[start:end]``."""

    match: DocumentMatch
    start: int
    end: int


def document_chain(
    text: str, library: Library, caller: Caller, named: DocumentMatch | None = None
) -> list[ChainedDocument]:
    """Return the documents that ``text`` begins with, with nothing but white space between them.

    ``named``: the document that ``text`` is known to begin with. Behind the first one only documents with tokens of
    their own are taken: another's are those of the whole text, whether or not it is found, and cost more to place.

    Example:
        ``chain = document_chain(part.text, library, caller)``
    """
    chain: list[ChainedDocument] = []
    at = _first_word(text, 0)
    match = named or library.find_at_front(text, caller, at)
    while match is not None:
        end = at + len(match.tokenized.core)
        chain.append(ChainedDocument(match, at, end))
        at = _first_word(text, end)
        if at == len(text) or len(chain) > MOST_CHAINED:
            break
        match = library.find_at_front(text, caller, at)
        if match is not None and not match.tokenized.cut:
            break
    return chain


def _first_word(text: str, at: int) -> int:
    """Return the place of the first character that is not white space, from ``at`` on."""
    if at < len(text) and not text[at].isspace():
        return at
    behind = text[at:]
    return at + len(behind) - len(behind.lstrip())

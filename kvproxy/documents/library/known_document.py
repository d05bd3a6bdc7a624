"""`KnownDocument`: a version with its tokens, and `DocumentMatch` and `NearestText`, one as it was found for a
caller."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from kvproxy.documents.library.document import Document, FramedPrefix, TokenizedDocument
from kvproxy.documents.library.spelling import PUBLISHED

_PREFERRED = ("public", "private", "granted")
"""Visibilities in the order in which documents of equal texts are taken: the pages that all share, then the reader's
own, then those that may have a price."""


@dataclass(frozen=True, slots=True)
class SpelledText:
    """A document's text in another spelling than the published one."""

    name: str
    text: str
    tokenized: TokenizedDocument

    @property
    def leading(self) -> str:
        """The white space before its core."""
        return "".join(takewhile(str.isspace, self.text))


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document version with its tokens, as the composer needs it."""

    document: Document
    tokenized: TokenizedDocument
    prefixes: tuple[FramedPrefix, ...]
    """Its published framings, of all its spellings."""
    quarantined: str | None = None
    """The reason that its kept pages are not used, for its readers; None while they are."""
    others: tuple[SpelledText, ...] = ()
    """Its other spellings."""

    @property
    def spellings(self) -> tuple[SpelledText, ...]:
        """All spellings, the published one first."""
        return (SpelledText(PUBLISHED, self.document.text, self.tokenized), *self.others)

    @property
    def matches(self) -> list[DocumentMatch]:
        """One match for each distinct core: some spellings differ only in the text before it."""
        cores = {spelled.tokenized.core: spelled.tokenized for spelled in reversed(self.spellings)}
        return [DocumentMatch(self, tokenized) for tokenized in cores.values()]


@dataclass(frozen=True, slots=True)
class DocumentMatch:
    """A document in one of its spellings, as found in a text or named by a reference."""

    known: KnownDocument
    tokenized: TokenizedDocument
    grant: str | None = None
    """Id of the grant that lets this caller in; None where none was needed."""
    by_reference: bool = False
    confined: bool = False
    """True when the caller was let in to read it, and has not got its text: none of it may leave this process."""

    @property
    def rank(self) -> tuple[int, int, bool, int]:
        """The sort key, best first: the longest match; of equal texts the public one, whose pages all readers
        share, then the one published in this spelling, then the newest."""
        document, respelled = self.known.document, self.tokenized is not self.known.tokenized
        preferred = _PREFERRED.index(document.visibility)
        return (-len(self.tokenized.core), preferred, respelled, -document.version)


@dataclass(frozen=True, slots=True)
class NearestText:
    """The known text that shares the longest beginning with a caller's text."""

    match: DocumentMatch
    """The document, in the spelling that shares it."""
    common: int
    """Characters of the shared beginning, counted from the text's first that is not white space. The document was found
    where they are all of ``match.tokenized.core``."""
    leading: int
    """Characters of white space before them in the text."""

"""`LibraryOffers`: the documents that one caller may be offered. Event loop only; yields to it between slices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from kvproxy.core import Caller, DocumentRef, Visibility
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library

_SLICE = 64
"""Ids between two yields to the event loop."""


@dataclass(frozen=True, slots=True)
class OfferedDocument:
    """One version of a document that a caller may read at its price."""

    ref: DocumentRef
    current: bool
    sha256: str
    digests: frozenset[str]
    """sha256 of the text, and of each spelling without the white space around it."""
    publisher: str
    visibility: Visibility
    characters: int
    tokens: int
    created: int
    quarantined: bool
    grant: str | None = None
    """Id of the grant that lets the caller in; None where none is needed."""

    @property
    def name(self) -> str:
        """``handbook@3``."""
        return str(self.ref)


class Offers(Protocol):
    """A source of the catalog's documents."""

    async def to(self, caller: Caller) -> list[OfferedDocument]:
        """Return the public documents and those that ``caller`` has a grant for, by id and version; no private one."""


class LibraryOffers:
    """The offers of a library. A granted document is its publisher's and its readers' alone, a private one nobody's.

    Example:
        ``await LibraryOffers(library).to(caller)``
    """

    def __init__(self, library: Library) -> None:
        self._library = library

    async def to(self, caller: Caller) -> list[OfferedDocument]:
        """Return what ``caller`` may be offered; documents that change meanwhile are there or not."""
        offered: list[OfferedDocument] = []
        for looked, id in enumerate(await asyncio.to_thread(self._library.ids, caller)):
            offered += self._versions(self._library.versions(id, caller), caller)
            if looked % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
        return offered

    def _versions(self, versions: Iterable[KnownDocument], caller: Caller) -> Iterator[OfferedDocument]:
        shown = [known for known in versions if known.document.visibility != "private"]
        newest = max((known.document.version for known in shown), default=0)
        for known in sorted(shown, key=lambda one: one.document.version):
            document = known.document
            spellings = {spelled.tokenized.key for spelled in known.spellings}
            yield OfferedDocument(
                ref=document.ref,
                current=document.version == newest,
                sha256=document.etag,
                digests=frozenset({document.etag, *spellings}),
                publisher=self._library.rights.publisher(document.owner_scope),
                visibility=document.visibility,
                characters=len(document.text),
                tokens=len(known.tokenized.token_ids),
                created=document.created,
                quarantined=known.quarantined is not None,
                grant=self._grant(document, caller),
            )

    def _grant(self, document: Document, caller: Caller) -> str | None:
        if document.visibility != "granted" or document.owner_scope == caller.scope:
            return None
        return self._library.rights.right(document, caller).grant

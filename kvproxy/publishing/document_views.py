"""`DocumentViews`: the views of the library's documents that the documents API returns to a caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping

from kvproxy.backends.base import LocalBackend
from kvproxy.core import Caller, DocumentRef
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.document_info import DocumentInfo, FramingInfo, Pinning, SpellingInfo
from kvproxy.documents.library.known_document import KnownDocument, SpelledText
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.recorded_reads import RecordedReads
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.errors import DocumentNotFound
from kvproxy.publishing.holdings import Holdings

SLICE = 16
"""Documents between two yields to the event loop: some 3 ms, where each has two framings of 50,000 tokens."""


class DocumentViews:
    """Makes :class:`DocumentInfo` values of the documents that a caller may read. Event loop only.

    Example:
        ``info = DocumentViews(library, holdings, local, pins, reads.of).of(ref, caller)``
    """

    def __init__(
        self,
        library: Library,
        holdings: Holdings,
        local: LocalBackend,
        pinned: Container[DocumentRef],
        reads: Callable[[DocumentRef], RecordedReads],
    ) -> None:
        self._library, self._holdings, self._local = library, holdings, local
        self._pinned, self._reads = pinned, reads

    def of(self, ref: DocumentRef, caller: Caller) -> DocumentInfo:
        """Return the view of exactly this version, as the library names it. Raises DocumentNotFound."""
        known = self._library.find(ref)
        if known is None:
            raise DocumentNotFound(str(ref))
        versions = [other.document for other in self._library.versions(ref.id, caller)]
        return self._view(known, _newest(versions), caller)

    async def all(self, caller: Caller) -> list[DocumentInfo]:
        """Return the views of all versions, by id and then by version; other tasks run in between and may change
        them."""
        views: list[DocumentInfo] = []
        looked = 0
        for id in await asyncio.to_thread(self._library.ids, caller):
            versions = [known.document for known in self._library.versions(id, caller)]
            newest = _newest(versions)
            for document in versions:
                known = self._library.find(document.ref)
                if known is not None:
                    views.append(self._view(known, newest, caller))
                looked += 1
                if looked % SLICE == 0:
                    await asyncio.sleep(0)
        return views

    async def some(self, refs: Iterable[DocumentRef], caller: Caller) -> list[DocumentInfo]:
        """Return the views of versions that ``caller`` may see, in their order; those that have gone are left out.

        Example: ``infos = await views.some([known.document.ref for known in listed.documents], caller)``
        """
        views: list[DocumentInfo] = []
        for ref in refs:
            if self._library.find(ref) is not None:
                views.append(self.of(ref, caller))
                await asyncio.sleep(0)
        return views

    def _view(self, known: KnownDocument, newest: Mapping[str, int], caller: Caller) -> DocumentInfo:
        document = known.document
        reads = self._reads(document.ref)
        return DocumentInfo(
            id=document.id,
            version=document.version,
            current=document.version == newest[document.owner_scope],
            etag=document.etag,
            visibility=document.visibility,
            characters=len(document.text),
            tokens=len(known.tokenized.token_ids),
            created=document.created,
            framings=tuple(
                self._framing(f, caller.reading([document.scope]), document.scope)
                for f in self._holdings.get(document.ref).framings
            ),
            quarantined=known.quarantined,
            pinned=self._pinning(document.ref),
            origin=document.origin,
            reads=reads.reads,
            saved_tokens=reads.saved_tokens,
            last_read=reads.last_read or None,
            expires=document.expires,
            aliases=self._library.aliases.of(document),
            spellings=tuple(_spelling(spelled) for spelled in known.spellings),
        )

    def _framing(self, framing: KeptFraming, caller: Caller, scope: str) -> FramingInfo:
        kept = framing.kept
        found, cost = self._local.residency(kept, caller), self._local.cost_of(kept, scope)
        return FramingInfo(
            framing.framing,
            len(kept.token_ids),
            found.tokens,
            kept.bytes,
            found,
            cost.load_s,
            cost.compute_s,
            self._local.replicas_of(kept, caller),
        )

    def _pinning(self, ref: DocumentRef) -> Pinning:
        if ref not in self._pinned:
            return False
        return "best effort" if self._local.info.fleet else True


def _newest(versions: Iterable[Document]) -> Mapping[str, int]:
    """Return the newest version number of each publisher. ``versions``: of one id, each publisher's oldest first."""
    return {document.owner_scope: document.version for document in versions}


def _spelling(spelled: SpelledText) -> SpellingInfo:
    tokenized = spelled.tokenized
    core, tokens = tokenized.core, len(tokenized.token_ids)
    return SpellingInfo(spelled.name, len(core), tokens, spelled.leading, tokenized.key)

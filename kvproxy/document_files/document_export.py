"""`DocumentExporter`: writes a version with its pages as one file, a page at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

from blake3 import blake3

from kvproxy.core import Caller, DocumentRef, stored_key
from kvproxy.document_files.file_sections import (
    END,
    MAGIC,
    MANIFEST,
    PAGE,
    TEXT,
    section_head,
    travelling_pages,
)
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.engine.cache.page_key import root_key
from kvproxy.errors import DocumentRejected, PermissionDenied, Unavailable
from kvproxy.manifests.manifest import MANIFEST_TYP, Manifest, ManifestPage
from kvproxy.manifests.manifest_claims import manifest_claims
from kvproxy.manifests.version_manifests import SignedManifest, VersionManifests
from kvproxy.publish import Publisher
from kvproxy.publishing.holdings import DocumentHolding
from kvproxy.store.page_transfer import PageTransfer, StoredPage


@dataclass(frozen=True, slots=True)
class _OutgoingPage:
    """The place of a page in the store."""

    key: bytes
    parent: bytes
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExportedDocument:
    """A file that is about to be written."""

    manifest: Manifest
    content: AsyncIterator[bytes]
    """The file's bytes. Raises Unavailable where a page is gone: the file ends early then, and no reader takes it."""


class DocumentExporter:
    """Exports versions. Event loop only; memory: one page.

    Example:
        ``exported = await exporter.open(DocumentRef("handbook", 3), caller)``
    """

    def __init__(self, publisher: Publisher, manifests: VersionManifests, transfer: PageTransfer) -> None:
        self._publisher = publisher
        self._manifests = manifests
        self._transfer = transfer

    async def open(self, ref: DocumentRef, caller: Caller) -> ExportedDocument:
        """Sign the manifest of the file and return its content. Pages that are not on disk are computed first.

        Raises DocumentNotFound; PermissionDenied for another publisher's version, whose KV is sold by the read;
        DocumentRejected for a version in quarantine; and the errors of ``LocalBackend.keep``.
        """
        known = self._publisher.library.resolve(ref, caller)
        document = known.document
        if document.owner_scope != caller.scope:
            raise PermissionDenied(f"Only the publisher of '{document.id}' can export it.")
        if known.quarantined is not None:
            raise DocumentRejected(
                f"'{document.ref}' is in quarantine: verify it, or publish it again, and then export it."
            )
        await self._publisher.keep_missing(document.ref)
        holding = self._publisher.holding(document.ref)
        current = await self._manifests.current(document.ref)
        pages = _places(holding, root_key(self._transfer.fingerprint))
        signed = await asyncio.to_thread(self._signed, current, pages, holding.scope)
        return ExportedDocument(signed.manifest, self._content(signed, known, pages, holding.scope))

    def _signed(
        self, current: SignedManifest, pages: Mapping[str, _OutgoingPage], scope: str
    ) -> SignedManifest:
        """Return the manifest of the pages as they travel: the kept one, unless some are encrypted on disk."""
        described: dict[str, ManifestPage] = {}
        for _, _, page in travelling_pages(current.manifest):
            stored = self._described(pages[page.key], scope)
            if stored is None:
                raise _gone()
            digest = stored.digest.hex()
            described[page.key] = replace(page, digest=digest, bytes=stored.bytes, codec=stored.codec)
        framings = tuple(
            replace(framing, pages=tuple(described[page.key] for page in framing.pages))
            for framing in current.manifest.framings
        )
        manifest = replace(current.manifest, framings=framings)
        if manifest == current.manifest:
            return current
        return SignedManifest(
            self._manifests.issuer.keys.sign(manifest_claims(manifest), MANIFEST_TYP), manifest
        )

    def _described(self, page: _OutgoingPage, scope: str) -> StoredPage | None:
        key = stored_key(page.key, scope)
        if (stored := self._transfer.describe_outgoing(key)) is not None:
            return stored
        travelling = self._transfer.outgoing(key, page.parent, page.token_ids)
        return None if travelling is None else travelling.page

    async def _content(
        self, signed: SignedManifest, known: KnownDocument, pages: Mapping[str, _OutgoingPage], scope: str
    ) -> AsyncIterator[bytes]:
        digest = blake3()
        text = known.document.text.encode("utf-8")
        jws = signed.jws.encode("ascii")
        for piece in (MAGIC, section_head(MANIFEST, len(jws)), jws, section_head(TEXT, len(text)), text):
            digest.update(piece)
            yield piece
        for _, _, page in travelling_pages(signed.manifest):
            place = pages[page.key]
            key = stored_key(place.key, scope)
            travelling = await asyncio.to_thread(self._transfer.outgoing, key, place.parent, place.token_ids)
            if travelling is None or travelling.page.digest.hex() != page.digest:
                raise _gone()
            for piece in (section_head(PAGE, len(travelling.file)), travelling.file):
                await asyncio.to_thread(digest.update, piece)
                yield piece
        yield section_head(END, len(end := digest.digest())) + end


def _places(holding: DocumentHolding, root: bytes) -> dict[str, _OutgoingPage]:
    """Return the place of each page by its key, hex."""
    places: dict[str, _OutgoingPage] = {}
    for framing in holding.framings:
        parent, done = root, 0
        for page in framing.kept.pages:
            ids = framing.kept.token_ids[done : done + page.tokens]
            places[page.key.hex()] = _OutgoingPage(page.key, parent, ids)
            parent, done = page.key, done + page.tokens
    return places


def _gone() -> Unavailable:
    return Unavailable("Pages of this document are not on disk now; try the export again.", retry_after_s=5)

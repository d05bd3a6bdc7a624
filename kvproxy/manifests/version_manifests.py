"""`VersionManifests`: the signed manifests of this host's document versions, made again when what they say changes."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from kvproxy.core import PAGE_TOKENS, Caller, DocumentRef, stored_key
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.document_info import Verification
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.errors import DocumentNotFound, KVProxyError, SignatureRefused
from kvproxy.manifests.manifest import (
    MANIFEST_TYP,
    Manifest,
    ManifestDocument,
    ManifestEngine,
    ManifestFraming,
    ManifestPage,
    ManifestPolicy,
    ManifestSource,
    ManifestVerified,
    token_ids_sha256,
)
from kvproxy.manifests.manifest_claims import manifest_claims, parse_manifest
from kvproxy.publishing.document_locks import DocumentLocks
from kvproxy.publishing.holdings import DocumentHolding, Holdings
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.store.page_transfer import StoredPage

logger = logging.getLogger(__name__)

Policies = Callable[[KnownDocument, str], ManifestPolicy]
"""Returns the policy of a version, given its publisher's name."""


class KeptManifests(Protocol):
    """The rows of manifests beside those of the versions: the last one of each."""

    def put_manifest(self, ref: DocumentRef, jws: str) -> None:
        """Keep a version's manifest in the place of an earlier one."""

    def manifest(self, ref: DocumentRef) -> str | None:
        """Return a version's manifest; None where none was kept."""


class PageDigests(Protocol):
    """The pages on disk, as :class:`kvproxy.store.page_transfer.PageTransfer` describes them."""

    def describe(self, key: bytes) -> StoredPage | None:
        """Return the digest and size of a stored page from its header alone; None where it is not there."""


@dataclass(frozen=True, slots=True)
class ManifestIssuer:
    """The host's own part of every manifest, and the keys that sign it."""

    host: str
    keys: HostKeys
    engine: ManifestEngine
    pages: PageDigests
    policies: Policies
    share: Callable[[Document, str], None] | None = None
    """Brings the first manifest of a version to the hosts of a fleet. Blocking; raises nothing."""


@dataclass(frozen=True, slots=True)
class SignedManifest:
    """A manifest with its signature."""

    jws: str
    manifest: Manifest


class VersionManifests:
    """Makes, signs and keeps the manifests of a library's versions. Event loop only.

    A manifest is kept as it was signed for as long as all that it says holds. What changes it (terms, pages with other
    digests, a verification) shows when it is asked for next, at the latest.

    Example:
        ``jws = (await manifests.current(ref)).jws``
    """

    def __init__(
        self, issuer: ManifestIssuer, library: Library, holdings: Holdings, kept: KeptManifests
    ) -> None:
        self._issuer = issuer
        self._library = library
        self._holdings = holdings
        self._kept = kept
        self._locks = DocumentLocks()

    @property
    def issuer(self) -> ManifestIssuer:
        """The host's part of every manifest."""
        return self._issuer

    async def current(
        self,
        ref: DocumentRef,
        *,
        verified: ManifestVerified | None = None,
        source: ManifestSource | None = None,
    ) -> SignedManifest:
        """Return the manifest of exactly this version, signed anew where it says something else than the kept one.

        ``verified`` and ``source`` are recorded in it, and stay: a verification until one of its pages changes. The
        digest of a page that is not on disk now is the one that it had. Raises DocumentNotFound, Unavailable.

        Example:
            ``manifest = await manifests.current(DocumentRef("handbook", 3))``
        """
        async with self._locks.of(ref.name):
            known = self._library.find(ref)
            if known is None:
                raise DocumentNotFound(str(ref))
            holding = self._holdings.get(ref)
            return await asyncio.to_thread(self._current, known, holding, verified, source)

    async def visible(self, ref: DocumentRef, caller: Caller) -> SignedManifest:
        """Return the manifest of the version that ``ref`` names to this caller. Raises DocumentNotFound,
        PermissionDenied, Unavailable."""
        return await self.current(self._library.resolve(ref, caller).document.ref)

    async def renew_own(self, id: str, caller: Caller) -> None:
        """Sign the manifests of the caller's own versions of an id again, whose terms have changed."""
        for known in self._library.versions(id, caller):
            if known.document.owner_scope == caller.scope:
                await self.renew(known.document.ref)

    async def renew(self, ref: DocumentRef, source: ManifestSource | None = None) -> None:
        """Make a version's manifest now. A failure is logged: it is made when it is asked for."""
        try:
            await self.current(ref, source=source)
        except DocumentNotFound:
            return
        except (KVProxyError, OSError) as e:
            logger.warning("the manifest of %s is signed when it is asked for, and not now: %s", ref, e)

    async def note_verified(self, ref: DocumentRef, found: Sequence[Verification]) -> None:
        """Record what a verification has measured, where it could compare all."""
        if (verified := verified_of(found)) is not None:
            await self.current(ref, verified=verified)

    def _current(
        self,
        known: KnownDocument,
        holding: DocumentHolding,
        verified: ManifestVerified | None,
        source: ManifestSource | None,
    ) -> SignedManifest:
        """Blocking: it reads a header of each page, and the kept manifest."""
        ref = known.document.ref
        before = self._before(ref)
        manifest = self._made(known, holding, before.manifest if before is not None else None)
        manifest = replace(
            manifest,
            verified=verified or manifest.verified,
            source=source or manifest.source,
        )
        if before is not None and replace(before.manifest, signed_at=manifest.signed_at) == manifest:
            return before
        signed = SignedManifest(self._issuer.keys.sign(manifest_claims(manifest), MANIFEST_TYP), manifest)
        self._kept.put_manifest(ref, signed.jws)
        if before is None and self._issuer.share is not None:
            self._issuer.share(known.document, signed.jws)
        return signed

    def _before(self, ref: DocumentRef) -> SignedManifest | None:
        """Return the kept manifest; None for one that no key of this host has signed: a database can be damaged."""
        jws = self._kept.manifest(ref)
        if jws is None:
            return None
        try:
            return SignedManifest(jws, parse_manifest(self._issuer.keys.verify(jws, MANIFEST_TYP)))
        except SignatureRefused as e:
            logger.warning("the kept manifest of %s is made anew: %s", ref, e.message)
            return None

    def _made(self, known: KnownDocument, holding: DocumentHolding, before: Manifest | None) -> Manifest:
        document = known.document
        publisher = self._library.rights.publisher(document.owner_scope)
        # The digests of pages that were found wrong must not come back for want of others.
        had = {} if before is None or known.quarantined else _pages_of(before)
        made = Manifest(
            host=self._issuer.host,
            signed_at=int(time.time()),
            document=ManifestDocument(
                id=document.id,
                version=document.version,
                etag=document.etag,
                bytes=len(document.text.encode("utf-8")),
                characters=len(document.text),
                tokens=len(known.tokenized.token_ids),
                created=document.created,
                publisher=publisher,
                origin=document.origin,
            ),
            policy=self._issuer.policies(known, publisher),
            engine=self._issuer.engine,
            page_tokens=PAGE_TOKENS,
            framings=tuple(
                ManifestFraming(
                    name=framing.framing,
                    tokens=len(framing.kept.token_ids),
                    token_ids_sha256=token_ids_sha256(framing.kept.token_ids),
                    prefill_ms=round(framing.kept.prefill_s * 1000),
                    pages=tuple(
                        self._page(page.key, page.tokens, holding.scope, had) for page in framing.kept.pages
                    ),
                )
                for framing in sorted(holding.framings, key=lambda framing: framing.framing)
                if framing.kept.pages
            ),
        )
        if before is None:
            return made
        same = made.digests == before.digests
        return replace(made, verified=before.verified if same else None, source=before.source)

    def _page(self, key: bytes, tokens: int, scope: str, had: dict[str, ManifestPage]) -> ManifestPage:
        found = self._issuer.pages.describe(stored_key(key, scope))
        if found is None:
            missing = ManifestPage(key.hex(), tokens, None, 0, "")
            return had.get(missing.key, missing)
        return ManifestPage(key.hex(), tokens, found.digest.hex(), found.bytes, found.codec)


def verified_of(found: Sequence[Verification]) -> ManifestVerified | None:
    """Return the record of a verification, summed over its framings; None where one could not be compared.

    Example:
        ``record = verified_of(await verifier.verify(ref, caller))``
    """
    if not found or any(one.note for one in found):
        return None
    largest = [math.inf if one.largest_difference is None else one.largest_difference for one in found]
    return ManifestVerified(
        at=int(time.time()),
        exact=all(one.exact for one in found),
        framings=len(found),
        pages=sum(one.pages for one in found),
        equal_pages=sum(one.equal_pages for one in found),
        positions=sum(one.positions for one in found),
        equal_positions=sum(one.equal_positions for one in found),
        largest_difference=f"{max(largest):g}" if math.isfinite(max(largest)) else "",
    )


def _pages_of(manifest: Manifest) -> dict[str, ManifestPage]:
    return {page.key: page for framing in manifest.framings for page in framing.pages}

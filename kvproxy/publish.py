"""`Publisher`: tokenises a document, prefills it under every framing, keeps its pages, and then makes it visible."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from kvproxy.backends.base import LocalBackend
from kvproxy.charging.publish_charges import FreeHosting, PublishCharging, StoredDocument
from kvproxy.core import Caller, DocumentRef, Visibility
from kvproxy.core.document_quota import NO_QUOTA
from kvproxy.core.report_progress import ReportProgress
from kvproxy.documents.library.document import Document, FramedPrefix, Origin, checked_etag, series
from kvproxy.documents.library.document_info import DocumentInfo, Published
from kvproxy.documents.library.document_listing import DocumentListing, ListedDocuments, ListingQuery
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.preconditions import UNCONDITIONAL, Preconditions
from kvproxy.documents.prepared.preparation import SpellingPolicy
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.registry.registry import Registry
from kvproxy.errors import DocumentNotFound, PermissionDenied
from kvproxy.exactness.quarantine import Quarantine
from kvproxy.lifecycle.document_residency import DocumentResidency
from kvproxy.manifests.manifest import ManifestSource
from kvproxy.manifests.version_manifests import ManifestIssuer, VersionManifests
from kvproxy.publishing.arrivals import Arrival
from kvproxy.publishing.document_quotas import DocumentQuotas, QuotaOf
from kvproxy.publishing.document_views import DocumentViews
from kvproxy.publishing.ending_parts import EndingParts
from kvproxy.publishing.expiry_clock import ExpiryClock
from kvproxy.publishing.holdings import DocumentHolding
from kvproxy.publishing.id_ownership import check_free, newest_own, reusable_scopes
from kvproxy.publishing.lacking_pages import SharedPages
from kvproxy.publishing.library_follower import LibraryFollower
from kvproxy.publishing.meant_documents import deletable_versions
from kvproxy.publishing.new_versions import NewVersions, VersionDraft
from kvproxy.publishing.publishing_parts import make_parts
from kvproxy.publishing.restoration import Restoration
from kvproxy.publishing.stored_documents import stored_documents
from kvproxy.publishing.text_preparation import TextPreparer
from kvproxy.publishing.version_endings import VersionEndings
from kvproxy.publishing.version_removal import VersionRemoval
from kvproxy.publishing.version_revival import revive_version
from kvproxy.runtime.request_context import traced_work
from kvproxy.runtime.run_to_completion import run_to_completion


class Publisher:
    """Publishes, lists and deletes documents; the only writer of library, registry and published pages.

    Call ``restore`` once before serving, then run ``refresh`` in the background.

    Example:
        ``published = await publisher.publish("handbook", text, "public", caller)``
    """

    def __init__(
        self,
        *,
        composer: Composer,
        library: Library,
        registry: Registry,
        local: LocalBackend,
        default_visibility: Visibility = "public",
        max_text: int = 8 * 2**20,
        spellings: SpellingPolicy = "auto",
        texts: Path | None = None,
        hosting: PublishCharging | None = None,
        pin_share: Callable[[], float] = lambda: 1.0,
        expiry_grace_s: float = 86_400.0,
        quota_of: QuotaOf = lambda _: NO_QUOTA,
        clock: ExpiryClock | None = None,
        issuer: ManifestIssuer | None = None,
        shared: SharedPages | None = None,
    ) -> None:
        """Take the parts that this publisher alone writes. ``max_text``: bytes of UTF-8. ``spellings``: those of a
        text that are prefilled and recognised. ``texts``: the file of prepared texts, which ``restore`` reads instead
        of tokenising, and ``close`` closes. ``hosting`` charges for new versions. ``pin_share``: the part of the pages
        that may be pinned which one tenant may have. ``expiry_grace_s``: seconds from a version's end to its deletion.
        ``quota_of``: what each tenant may have published; ``clock``: that of versions' ends.
        ``issuer`` signs the manifests of versions; without one there are none. ``shared``: the pages that proxies with
        the same engine share."""
        parts = make_parts(
            library, registry, local, TextPreparer(composer, spellings, local), texts, pin_share
        )
        self.library, self.reads = library, parts.reads
        self._parts, self._holdings, self._locks, self._pins = parts, parts.holdings, parts.locks, parts.pins
        self._default_visibility, self._max_text = default_visibility, max_text
        self._hosting = hosting or FreeHosting()
        self._listing = DocumentListing(library, self.reads)
        self._views = DocumentViews(library, parts.holdings, local, parts.pins, parts.reads.of)
        self.quotas = DocumentQuotas(library, quota_of, local.info.page_bytes)
        self._removal = VersionRemoval(parts)
        steps = EndingParts(self._removal.let_go, self._removal.forget, partial(revive_version, parts))
        self.endings = VersionEndings(parts, steps, grace_s=expiry_grace_s, clock=clock)
        self._new_versions = NewVersions(parts, self.quotas, self.endings.follow)
        self._restoration = Restoration(parts, self.endings.restore)
        self.follower = LibraryFollower(parts, self._restoration, self.endings, own=False, shared=shared)
        self.residency = DocumentResidency(parts)
        self.manifests = (
            None if issuer is None else VersionManifests(issuer, library, self._holdings, registry)
        )
        self.quarantine = Quarantine(parts, self._released)

    async def publish(
        self,
        id: str,
        text: str,
        visibility: Visibility | None,
        caller: Caller,
        progress: ReportProgress | None = None,
        *,
        pinned: bool | None = None,
        origin: Origin = "published",
        arrival: Arrival | None = None,
        source: ManifestSource | None = None,
        ttl_s: int | None = None,
        conditions: Preconditions = UNCONDITIONAL,
    ) -> Published:
        """Publish a text, and return when its pages are on disk and the version is visible; until then nothing is.

        Without ``visibility`` a new version has that of the one before it. The same text again changes nothing,
        except that a version in quarantine is prefilled again and released. ``progress(done, total)`` counts tokens
        over all framings and spellings. ``pinned`` keeps the pages in memory; without it, a new version takes over
        the pin of the one before it. ``arrival``: pages of this text that were computed elsewhere, and ``source`` the
        version that they are of. ``ttl_s``: seconds from now to the version's end; None: as it is, or never.
        ``conditions`` are compared with the caller's current version. A ``learned`` text is kept by the host's own
        choice, and costs its tenant nothing.

        Raises DocumentRejected, PermissionDenied, DocumentQuotaExceeded, PreconditionFailed, Overloaded, CannotFit,
        StorageFull.

        Example:
            ``await publisher.publish("handbook", text, "private", caller, pinned=True)``
        """
        etag = checked_etag(id, text, self._max_text)
        async with AsyncExitStack() as held:
            await held.enter_async_context(self._locks.of(series(id, caller.scope)))
            current = newest_own(self.library, id, caller)
            wanted = visibility or (current.visibility if current else self._default_visibility)
            if wanted != "private":
                # All publishers share the ids of public and granted documents; a private version needs no such lock.
                await held.enter_async_context(self._locks.of(id))
            check_free(self.library, id, caller, current, wanted)
            conditions.check(None if current is None else current.etag, id)
            expires = self.endings.expires_in(ttl_s)
            if current is not None and (current.etag, current.visibility) == (etag, wanted):
                return await self._again(current.ref, caller, pinned, expires)
            before = current.ref if current is not None and current.ref in self._pins else None
            document = Document(
                id, 0, text, etag, wanted, caller.scope, 0, origin if source is None else "imported", expires
            )
            pinned = before is not None if pinned is None else pinned
            reuse = reusable_scopes(self.library, current)
            draft = VersionDraft(document, before, pinned, arrival, reuse)
            return await self._publish_new(draft, caller, progress, source)

    async def _publish_new(
        self,
        draft: VersionDraft,
        caller: Caller,
        progress: ReportProgress | None,
        source: ManifestSource | None,
    ) -> Published:
        """Publish a draft, and sign its manifest."""
        hosting = FreeHosting() if draft.document.origin == "learned" else self._hosting
        made = await self._new_versions.publish(draft, caller, hosting, progress)
        if self.manifests is not None:
            with traced_work("sign"):
                await self.manifests.renew(made.ref, source)
        view = self._views.of(made.ref, caller)
        reused = made.tokens - made.computed
        return Published(view, True, made.prefill_s, computed=made.computed, reused=reused)

    async def _again(
        self, ref: DocumentRef, caller: Caller, pinned: bool | None, expires: int | None
    ) -> Published:
        """Publish the current version's own text again: only its quarantine, its pin and its end can change."""
        known = self.library.find(ref)
        pin = bool(pinned) and not self._pins.holds(ref)
        lengths = [len(p.token_ids) for p in known.prefixes] if known is not None and pin else []
        async with self._pins.reserve(lengths, None, owner=caller.scope) as room:
            prefill_s = await self.quarantine.recompute_and_release(ref)
            if pin:
                await run_to_completion(self._pins.pin(ref, room))
        if pinned is False:
            await run_to_completion(self._pins.unpin(ref))
        if expires is not None:
            await self.endings.expire_at(ref, expires)
        return Published(self._views.of(ref, caller), created=False, prefill_s=prefill_s)

    async def list(self, caller: Caller) -> builtins.list[DocumentInfo]:
        """List all versions that ``caller`` may see, by id and then by version."""
        return await self._views.all(caller)

    async def listed(self, caller: Caller, query: ListingQuery) -> ListedDocuments:
        """Return a part of the ids that ``caller`` may see, each as the version that it means.

        Example:
            ``await publisher.listed(caller, ListingQuery("hand", by="reads", descending=True))``
        """
        return await asyncio.to_thread(self._listing.find, caller, query)

    async def prepare_lists(self) -> None:
        """Put all documents in order, so that the first list need not: some microseconds each, on a thread."""
        await asyncio.to_thread(self._listing.prepare)

    async def views(self, refs: Iterable[DocumentRef], caller: Caller) -> builtins.list[DocumentInfo]:
        """Return the views of versions that ``caller`` may see; those that have gone meanwhile are left out."""
        return await self._views.some(refs, caller)

    async def get(self, ref: DocumentRef, caller: Caller) -> DocumentInfo:
        """Return the view of one version, the current one when ``ref`` names none. Raises DocumentNotFound."""
        return self._views.of(self.library.resolve(ref, caller).document.ref, caller)

    async def text(self, ref: DocumentRef, caller: Caller) -> str:
        """Return the text as published. Raises DocumentNotFound, and PermissionDenied for a document that the caller
        may read by a grant: that buys the use of its KV, not its text."""
        match = self.library.named(ref, caller)
        if match.confined:
            raise PermissionDenied(f"Only the publisher of '{ref.id}' can fetch its text; you may read it.")
        return match.known.document.text

    async def delete(
        self, ref: DocumentRef, caller: Caller, conditions: Preconditions = UNCONDITIONAL
    ) -> None:
        """Delete one version, or all of them when ``ref`` names none, those that were revoked or have expired
        included. ``conditions`` are compared with the newest of them that is served.

        Raises DocumentNotFound; PermissionDenied where only versions of other publishers are found;
        PreconditionFailed.

        Example:
            ``await publisher.delete(DocumentRef("handbook", 3), caller)``
        """
        async with self._locks.of(series(ref.id, caller.scope)):
            own, over = deletable_versions(self.library, ref, caller)
            conditions.check(own[-1].document.etag if own else None, str(ref))
            await run_to_completion(self._removal.delete(own, over))

    def prefixes(self, id: str, text: str) -> tuple[FramedPrefix, ...]:
        """Return the prefixes that a publish of this text would keep. Safe in any thread. Raises DocumentRejected."""
        checked_etag(id, text, self._max_text)
        return self._parts.preparer.prepare(id, text).prefixes

    def current_ref(self, id: str, caller: Caller) -> DocumentRef:
        """Return the newest version of an id that the caller itself has published. Raises DocumentNotFound."""
        current = newest_own(self.library, id, caller)
        if current is None:
            raise DocumentNotFound(id)
        return current.ref

    def holding(self, ref: DocumentRef) -> DocumentHolding:
        """Return the kept pages of exactly this version; an empty holding where there are none."""
        return self._holdings.get(ref)

    def newest_holdings(self, most: int) -> builtins.list[DocumentHolding]:
        """Return the kept pages of the versions that were kept last, of at most so many."""
        return self._holdings.newest(most)

    async def keep_missing(self, ref: DocumentRef) -> None:
        """Compute the pages of a version that are not on disk. Failures are logged."""
        known = self.library.find(ref)
        if known is not None and known.quarantined is None:
            await self._parts.pages.keep_dropped(known.document, self._holdings.get(ref).framings)

    def stored(self) -> builtins.list[StoredDocument]:
        """Return what the versions of tenants that are known take on disk. A walk over all: for a worker thread."""
        return stored_documents(self.library, self._holdings)

    def close(self) -> None:
        """Close the file of prepared texts, after the last call. Idempotent."""
        if self._parts.texts is not None:
            self._parts.texts.close()

    async def restore(self) -> None:
        """Make registered documents known and their pages findable; missing pages wait for ``refresh``, and what other
        proxies change from now on for ``follower.run``."""
        await self.follower.begin()
        await self._restoration.restore()
        await self.endings.restore_aliases()
        await self.reads.restore([known.document.ref for known in self.library])

    async def look_again(self) -> int:
        """Find the prefixes whose pages are missing on disk, for the next ``refresh``; return their number."""
        return await self._restoration.look_again()

    async def refresh(self) -> None:
        """Prefill the pages that ``restore`` found missing. Ends by itself; failures are logged."""
        await self._restoration.refresh()

    async def _released(self, ref: DocumentRef) -> None:
        """Follow the release of a version from quarantine, whose pages are other ones now."""
        await self._pins.pin_again(ref)
        if self.manifests is not None:
            await self.manifests.renew(ref)

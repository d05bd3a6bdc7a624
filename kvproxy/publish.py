"""`Publisher`: tokenises a document, prefills it under every framing, keeps its pages, and then makes it visible."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from kvproxy.backends.base import LocalBackend
from kvproxy.charging.publish_charges import FreeHosting, PublishCharging, StoredDocument
from kvproxy.core import LATEST, Caller, DocumentRef, Visibility
from kvproxy.core.document_quota import NO_QUOTA
from kvproxy.core.report_progress import ReportProgress
from kvproxy.documents.library.document import Document, FramedPrefix, Origin, checked_etag, series
from kvproxy.documents.library.document_info import DocumentInfo, Published
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.preconditions import UNCONDITIONAL, Preconditions
from kvproxy.documents.library.published_usage import usage_of
from kvproxy.documents.prepared.preparation import Preparation, Prepared, SpellingPolicy
from kvproxy.documents.prepared.prepared_texts import PreparedTexts
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.registry.registry import Registry
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.errors import DocumentNotFound, PermissionDenied
from kvproxy.exactness.quarantine import Quarantine
from kvproxy.lifecycle.document_residency import DocumentResidency
from kvproxy.manifests.manifest import ManifestSource
from kvproxy.manifests.version_manifests import ManifestIssuer, VersionManifests
from kvproxy.publishing.arrivals import Arrival
from kvproxy.publishing.document_locks import DocumentLocks
from kvproxy.publishing.document_pins import PinRoom, Pins
from kvproxy.publishing.document_quotas import DocumentQuotas, QuotaOf
from kvproxy.publishing.document_reads import DocumentReads
from kvproxy.publishing.document_views import DocumentViews
from kvproxy.publishing.ending_parts import EndingParts
from kvproxy.publishing.expiry_clock import ExpiryClock
from kvproxy.publishing.holdings import DocumentHolding, Holdings
from kvproxy.publishing.published_pages import PublishedPages
from kvproxy.publishing.restoration import Restoration
from kvproxy.publishing.stored_documents import stored_documents
from kvproxy.publishing.text_preparation import MARGIN as MARGIN
from kvproxy.publishing.text_preparation import prepare_text
from kvproxy.publishing.version_endings import VersionEndings
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
    ) -> None:
        """Take the parts that this publisher alone writes. ``max_text``: bytes of UTF-8. ``spellings``: those of a
        text that are prefilled and recognised. ``texts``: the file of prepared texts, which ``restore`` reads instead
        of tokenising, and ``close`` closes. ``hosting`` charges for new versions. ``pin_share``: the part of the pages
        that may be pinned which one tenant may have. ``expiry_grace_s``: seconds from a version's end to its deletion.
        ``quota_of``: what each tenant may have published; ``clock``: that of versions' ends.
        ``issuer`` signs the manifests of versions; without one there are
        none."""
        self._composer = composer
        self._preparation = Preparation(composer, spellings)
        self.library = library
        self._registry = registry
        self._local = local
        self._default_visibility = default_visibility
        self._max_text = max_text
        self._hosting = hosting or FreeHosting()
        self._holdings = Holdings()
        self._pages = PublishedPages(local, self._holdings)
        self._locks = DocumentLocks()
        self.reads = DocumentReads(registry)
        self._pins = Pins(registry, local, self._holdings, pin_share)
        self._views = DocumentViews(library, self._holdings, local, self._pins, self.reads.of)
        self._texts = None if texts is None else PreparedTexts(texts, self._preparation.recipe(self._longest))
        self.quotas = DocumentQuotas(library, quota_of, local.info.page_bytes)
        self.endings = VersionEndings(
            library,
            registry,
            self._locks,
            EndingParts(self._let_go, self._forget, self._revive),
            grace_s=expiry_grace_s,
            clock=clock,
        )
        self._restoration = Restoration(
            endings=self.endings,
            preparation=self._preparation,
            library=library,
            registry=registry,
            local=local,
            holdings=self._holdings,
            locks=self._locks,
            pins=self._pins,
            texts=self._texts,
        )
        self.residency = DocumentResidency(
            library=library,
            registry=registry,
            local=local,
            holdings=self._holdings,
            locks=self._locks,
            pins=self._pins,
        )
        self.manifests = (
            None if issuer is None else VersionManifests(issuer, library, self._holdings, registry)
        )
        self.quarantine = Quarantine(library, registry, local, self._holdings, self._locks, self._released)

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
            current = self._current(id, caller)
            wanted = visibility or (current.visibility if current else self._default_visibility)
            if wanted != "private":
                # All publishers share the ids of public and granted documents; a private version needs no such lock.
                await held.enter_async_context(self._locks.of(id))
            self._check_free(id, caller, current, wanted)
            conditions.check(None if current is None else current.etag, id)
            expires = self.endings.expires_in(ttl_s)
            if current is not None and (current.etag, current.visibility) == (etag, wanted):
                return await self._again(current.ref, caller, pinned, expires)
            before = current.ref if current is not None and current.ref in self._pins else None
            draft = Document(
                id, 0, text, etag, wanted, caller.scope, 0, origin if source is None else "imported", expires
            )
            pinned = before is not None if pinned is None else pinned
            reuse = self._reusable(current)
            return await self._publish_new(
                draft, before, caller, progress, pinned=pinned, arrival=arrival, source=source, reuse=reuse
            )

    async def _publish_new(
        self,
        draft: Document,
        before: DocumentRef | None,
        caller: Caller,
        progress: ReportProgress | None,
        *,
        pinned: bool,
        arrival: Arrival | None,
        source: ManifestSource | None,
        reuse: tuple[str, ...],
    ) -> Published:
        """Publish a draft, which has no version yet. ``before``: the pinned version that it takes the place of;
        ``reuse``: scopes whose pages may be copied."""
        prepared = await asyncio.to_thread(
            prepare_text, self._preparation, self._composer.encode, self._longest, draft.id, draft.text
        )
        tokens = sum(len(p.token_ids) for p in prepared.prefixes)
        lengths = [len(p.token_ids) for p in prepared.prefixes] if pinned else []
        adding = usage_of(prepared.tokenized, prepared.prefixes)
        async with AsyncExitStack() as held:
            if draft.origin != "learned":
                held.enter_context(self.quotas.claim(caller, adding))
            room = await held.enter_async_context(
                self._pins.reserve(lengths, before, owner=draft.owner_scope)
            )
            charge = await held.enter_async_context(self._hosting_of(draft).publishing(caller, tokens))
            version = await asyncio.to_thread(
                self._registry.last_version, draft.id, caller.scope, draft.visibility
            )
            document = replace(draft, version=version + 1, created=int(time.time()))
            drops = self._pages.drops(document.scope)
            framings = await self._pages.keep_all(document, prepared.prefixes, progress, arrival, reuse)
            checked = 0 if arrival is None else arrival.computed

            async def appear() -> None:
                await self._make_visible(prepared.known(document), framings, room, drops, pinned=pinned)
                charge.settle(sum(f.kept.computed for f in framings) + checked)

            # From here on all or nothing, even if the client disconnects: what is visible is paid for.
            await run_to_completion(appear())
        if self.manifests is not None:
            await self.manifests.renew(document.ref, source)
        prefill_s = sum(f.kept.prefill_s for f in framings)
        computed = sum(f.kept.computed for f in framings)
        view = self._views.of(document.ref, caller)
        return Published(view, True, prefill_s, computed=computed, reused=tokens - computed)

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
            found = [
                known
                for known in self.library.versions(ref.id, caller)
                if self.library.aliases.mean(ref, known.document)
            ]
            if ref.alias == LATEST:
                found = found[-1:]
            ended = [] if ref.alias == LATEST else self.library.ended(ref, caller)
            own = [known for known in found if known.document.owner_scope == caller.scope]
            over = [w.document.ref for w in ended if w.document.owner_scope == caller.scope]
            if not found and not ended:
                raise DocumentNotFound(str(ref))
            if not own and not over:
                raise PermissionDenied(f"Only the publisher of '{ref.id}' can delete it.")
            conditions.check(own[-1].document.etag if own else None, str(ref))
            await run_to_completion(self._delete(own, over))

    def prefixes(self, id: str, text: str) -> tuple[FramedPrefix, ...]:
        """Return the prefixes that a publish of this text would keep. Safe in any thread. Raises DocumentRejected."""
        checked_etag(id, text, self._max_text)
        prepared = prepare_text(self._preparation, self._composer.encode, self._longest, id, text)
        return prepared.prefixes

    def current_ref(self, id: str, caller: Caller) -> DocumentRef:
        """Return the newest version of an id that the caller itself has published. Raises DocumentNotFound."""
        current = self._current(id, caller)
        if current is None:
            raise DocumentNotFound(id)
        return current.ref

    def holding(self, ref: DocumentRef) -> DocumentHolding:
        """Return the kept pages of exactly this version; an empty holding where there are none."""
        return self._holdings.get(ref)

    async def keep_missing(self, ref: DocumentRef) -> None:
        """Compute the pages of a version that are not on disk. Failures are logged."""
        known = self.library.find(ref)
        if known is not None and known.quarantined is None:
            await self._pages.keep_dropped(known.document, self._holdings.get(ref).framings)

    def stored(self) -> builtins.list[StoredDocument]:
        """Return what each tenant's versions take on disk, those of tenants that are unknown now left out."""
        return stored_documents(self.library, self._holdings)

    def close(self) -> None:
        """Close the file of prepared texts, after the last call. Idempotent."""
        if self._texts is not None:
            self._texts.close()

    async def restore(self) -> None:
        """Make registered documents known and their pages findable; missing pages wait for ``refresh``."""
        await self._restoration.restore(self._longest)
        await self.endings.restore_aliases()
        await self.reads.restore([known.document.ref for known in self.library])

    async def look_again(self) -> int:
        """Find the prefixes whose pages are missing on disk, for the next ``refresh``; return their number."""
        return await self._restoration.look_again()

    async def refresh(self) -> None:
        """Prefill the pages that ``restore`` found missing. Ends by itself; failures are logged."""
        await self._restoration.refresh()

    def _hosting_of(self, draft: Document) -> PublishCharging:
        return FreeHosting() if draft.origin == "learned" else self._hosting

    def _current(self, id: str, caller: Caller) -> Document | None:
        """Return the newest version that ``caller`` itself has published."""
        own = [
            k.document for k in self.library.versions(id, caller) if k.document.owner_scope == caller.scope
        ]
        return own[-1] if own else None

    def _reusable(self, current: Document | None) -> tuple[str, ...]:
        """Return the scopes whose pages a new version may copy: that of the publisher's own version before it.

        Public pages are found without this by public versions, and by no other: they may be another publisher's, and
        a private publish must take as long as if nobody had its text.
        """
        known = None if current is None else self.library.find(current.ref)
        if (
            current is None
            or known is None
            or known.quarantined is not None
            or current.visibility == "public"
        ):
            return ()
        return (current.scope,)

    def _check_free(self, id: str, caller: Caller, current: Document | None, wanted: Visibility) -> None:
        """Check that the id is free. The id of public and granted documents belongs to the publisher of them; private
        versions of others do not count, nor, for a private version, what others have granted. Raises
        PermissionDenied."""
        others = (None, caller.scope)
        taken = self.library.owner(id) not in others and (current is None or wanted != "private")
        if taken or (wanted != "private" and self.library.owner(id, granted=True) not in others):
            raise PermissionDenied(f"The document id '{id}' belongs to another publisher; choose another id.")

    async def _released(self, ref: DocumentRef) -> None:
        """Follow the release of a version from quarantine, whose pages are other ones now."""
        await self._pins.pin_again(ref)
        if self.manifests is not None:
            await self.manifests.renew(ref)

    @property
    def _longest(self) -> int:
        """The most tokens that a prefix may have."""
        return self._local.info.max_context - MARGIN

    async def _make_visible(
        self,
        known: KnownDocument,
        framings: tuple[KeptFraming, ...],
        room: PinRoom,
        drops: int,
        *,
        pinned: bool,
    ) -> None:
        """Pin a version, then make it visible on disk and in this process.

        If anything fails before it is on disk, all of it is undone: a refused publish leaves no version. ``drops`` is
        the count of page drops before this version's pages were kept.
        """
        document = known.document
        holding = DocumentHolding(document.scope, framings)
        try:
            if pinned:
                await self._pins.hold(document.ref, holding, room)
            await asyncio.to_thread(
                self._registry.publish, document, framings, pinned=pinned, unpinned=room.replaced
            )
        except BaseException:
            await self._pins.undo_hold(document.ref, room)
            await self._pages.drop([holding])
            raise
        self._holdings.put(document.ref, holding)
        self.library.add(known)
        self.endings.follow(document)
        await self._pins.follow_publish(room.replaced, document.ref if pinned else None, document.owner_scope)
        if self._texts is not None:
            await asyncio.to_thread(
                self._texts.put, document, Prepared(known.tokenized, known.prefixes, known.others)
            )
        if self._pages.drops(document.scope) != drops:
            await self._pages.keep_dropped(document, framings)

    async def _delete(self, found: Sequence[KnownDocument], over: Sequence[DocumentRef]) -> None:
        """Delete versions: hidden first, so that no new reader finds pages that are being dropped. ``over``: versions
        that are not served any more."""
        refs = [*(known.document.ref for known in found), *over]
        for ref in refs:
            self.library.remove(ref)
        try:
            await asyncio.to_thread(self._registry.delete, refs)
        except BaseException:
            for known in found:
                self.library.add(known)
            raise
        for ref in over:
            self.library.withdrawn.take(ref)
        await self._forget(refs)

    async def _forget(self, refs: builtins.list[DocumentRef]) -> None:
        """Drop all that is kept of versions whose rows are deleted."""
        for ref in refs:
            self.reads.forget(ref)
        if self._texts is not None:
            await asyncio.to_thread(self._texts.drop, refs)
        await self._let_go(refs)

    async def _let_go(self, refs: builtins.list[DocumentRef]) -> None:
        """Drop the pages and pins of versions that no reader finds any more."""
        await self._pins.drop(refs)
        await self._pages.drop(self._holdings.take(refs))

    async def _revive(self, document: Document) -> None:
        """Make a version visible again that had expired, its pages computed anew."""
        prepared = await asyncio.to_thread(
            prepare_text, self._preparation, self._composer.encode, self._longest, document.id, document.text
        )
        framings = await self._pages.keep_all(document, prepared.prefixes, None)

        async def appear() -> None:
            await asyncio.to_thread(self._registry.replace_kept, document.ref, framings)
            self._holdings.put(document.ref, DocumentHolding(document.scope, framings))
            self.library.add(prepared.known(document))

        await run_to_completion(appear())

"""`NewVersions`: prefills a draft under every framing, keeps its pages, and makes it visible as a version."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from kvproxy.charging.publish_charges import PublishCharging
from kvproxy.core import Caller, DocumentRef
from kvproxy.core.report_progress import ReportProgress
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.published_usage import usage_of
from kvproxy.documents.prepared.preparation import Prepared
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.publishing.arrivals import Arrival
from kvproxy.publishing.document_pins import PinRoom
from kvproxy.publishing.document_quotas import DocumentQuotas
from kvproxy.publishing.holdings import DocumentHolding
from kvproxy.publishing.publishing_parts import PublishingParts
from kvproxy.runtime.request_context import traced_work
from kvproxy.runtime.run_to_completion import run_to_completion


@dataclass(frozen=True, slots=True)
class VersionDraft:
    """A text that is to become a version: ``document`` has neither a number nor a time yet."""

    document: Document
    before: DocumentRef | None
    """The pinned version that it takes the place of."""
    pinned: bool
    arrival: Arrival | None
    reuse: tuple[str, ...]
    """The scopes whose pages may be copied."""


@dataclass(frozen=True, slots=True)
class MadeVersion:
    """A draft that is visible now, with the prefill seconds and computed tokens that it took, of ``tokens``."""

    ref: DocumentRef
    tokens: int
    computed: int
    prefill_s: float


class NewVersions:
    """Makes drafts versions, under the caller's lock of their document. Event loop only.

    Example:
        ``made = await new_versions.publish(draft, caller, FreeHosting(), None)``
    """

    def __init__(
        self, parts: PublishingParts, quotas: DocumentQuotas, follow: Callable[[Document], None]
    ) -> None:
        """Take the publisher's parts. ``follow`` is called with each document that has become visible."""
        self._parts, self._quotas, self._follow = parts, quotas, follow

    async def publish(
        self, draft: VersionDraft, caller: Caller, hosting: PublishCharging, progress: ReportProgress | None
    ) -> MadeVersion:
        """Publish a draft; return when it is visible. Raises as ``Publisher.publish`` does.

        Example:
            ``made = await new_versions.publish(draft, caller, FreeHosting(), None)``
        """
        parts, text = self._parts, draft.document
        with traced_work("tokenize") as work:
            prepared = await asyncio.to_thread(parts.preparer.prepare, text.id, text.text)
            tokens = work.tokens = sum(len(p.token_ids) for p in prepared.prefixes)
        lengths = [len(p.token_ids) for p in prepared.prefixes] if draft.pinned else []
        adding = usage_of(prepared.tokenized, prepared.prefixes)
        async with AsyncExitStack() as held:
            if text.origin != "learned":
                held.enter_context(self._quotas.claim(caller, adding))
            reserved = parts.pins.reserve(lengths, draft.before, owner=text.owner_scope)
            room = await held.enter_async_context(reserved)
            charge = await held.enter_async_context(hosting.publishing(caller, tokens))
            last = await asyncio.to_thread(
                parts.registry.last_version, text.id, caller.scope, text.visibility
            )
            document = replace(text, version=last + 1, created=int(time.time()))
            drops = parts.pages.drops(document.scope)
            framings = await parts.pages.keep_all(
                document, prepared.prefixes, progress, draft.arrival, draft.reuse
            )
            computed = sum(f.kept.computed for f in framings)
            checked = 0 if draft.arrival is None else draft.arrival.computed

            async def appear() -> None:
                known = prepared.known(document)
                with traced_work("register"):
                    await self._make_visible(known, framings, room, drops, pinned=draft.pinned)
                charge.settle(computed + checked)

            # From here on all or nothing, even if the client disconnects: what is visible is paid for.
            await run_to_completion(appear())
        return MadeVersion(document.ref, tokens, computed, sum(f.kept.prefill_s for f in framings))

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
        parts, document = self._parts, known.document
        holding = DocumentHolding(document.scope, framings, document.owner_scope)
        try:
            if pinned:
                await parts.pins.hold(document.ref, holding, room)
            await asyncio.to_thread(
                parts.registry.publish, document, framings, pinned=pinned, unpinned=room.replaced
            )
        except BaseException:
            await parts.pins.undo_hold(document.ref, room)
            await parts.pages.drop([holding])
            raise
        parts.holdings.put(document.ref, holding)
        parts.library.add(known)
        self._follow(document)
        await parts.pins.follow_publish(room.replaced, document.ref if pinned else None, document.owner_scope)
        if parts.texts is not None:
            prepared = Prepared(known.tokenized, known.prefixes, known.others)
            await asyncio.to_thread(parts.texts.put, document, prepared)
        if parts.pages.drops(document.scope) != drops:
            await parts.pages.keep_dropped(document, framings)

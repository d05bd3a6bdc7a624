"""`DocumentResidency`: pins, unpins and warms published documents on request; nothing is generated."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from kvproxy.backends.base import Kept
from kvproxy.core import Caller, DocumentRef
from kvproxy.core.report_progress import ReportProgress
from kvproxy.documents.library.document import Document, FramedPrefix, series
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.errors import DocumentRejected, PermissionDenied
from kvproxy.lifecycle.residency_reports import FramingWarmth, WarmReport
from kvproxy.publishing.holdings import DocumentHolding
from kvproxy.publishing.pin_budget import PinReport
from kvproxy.publishing.publishing_parts import PublishingParts
from kvproxy.runtime.run_to_completion import run_to_completion


class DocumentResidency:
    """Pins, unpins and warms versions: the operations on pages in memory. Event loop only.

    It shares its parts with the publisher. Only a document's publisher may call for it.

    Example:
        ``report = await residency.warm(DocumentRef("handbook"), caller)``
    """

    def __init__(self, parts: PublishingParts) -> None:
        """Take the publisher's parts."""
        self._library, self._registry, self._local = parts.library, parts.registry, parts.local
        self._holdings, self._locks, self._pins = parts.holdings, parts.locks, parts.pins
        self._fingerprint = parts.fingerprint

    async def pin(self, ref: DocumentRef, caller: Caller, *, partial: bool = False) -> PinReport:
        """Keep a version's pages in memory, also after a restart; durable on return.

        ``partial`` pins the first pages of each framing, as many as the budgets leave. Without it all are pinned or
        none: raises CannotFit then. Raises DocumentNotFound, PermissionDenied, DocumentRejected for a version in
        quarantine, and the errors of ``LocalBackend.pin``.

        Example:
            ``report = await residency.pin(DocumentRef("handbook", 3), caller, partial=True)``
        """
        async with self._locks.local(series(ref.id, caller.scope)):
            known = self._usable(ref, caller)
            found, owner = known.document.ref, known.document.owner_scope
            if self._pins.holds(found):
                return self._pins.report(found, owner)
            await self._keep_all(known, None)
            if partial:
                reports: list[PinReport] = []

                async def pin() -> None:
                    reports.append(await self._pins.pin_what_fits(found, owner))

                await run_to_completion(pin())
                return reports[0]
            lengths = [len(framing.kept.token_ids) for framing in self._holdings.get(found).framings]
            # Pages that it has pinned in part are pinned anew: they are in memory, so that costs nothing.
            before = found if found in self._pins else None
            async with self._pins.reserve(lengths, before, owner=owner) as room:
                await run_to_completion(self._pins.pin(found, room))
            return self._pins.report(found, owner)

    async def unpin(self, ref: DocumentRef, caller: Caller) -> PinReport:
        """Give a version's memory back to others; durable on return. Raises DocumentNotFound, PermissionDenied."""
        async with self._locks.local(series(ref.id, caller.scope)):
            known = self._own(ref, caller)
            await run_to_completion(self._pins.unpin(known.document.ref))
            return self._pins.report(known.document.ref, known.document.owner_scope)

    async def warm(
        self, ref: DocumentRef, caller: Caller, progress: ReportProgress | None = None
    ) -> WarmReport:
        """Bring a version's pages into memory: read from disk, and prefilled where they are on none.

        ``progress(done, total)`` counts tokens over all framings. Pages stay as long as their use is worth it: a pin
        keeps them. Raises DocumentNotFound, PermissionDenied, DocumentRejected for a version in quarantine, and the
        errors of ``LocalBackend.keep``.

        Example:
            ``report = await residency.warm(DocumentRef("handbook"), caller)``
        """
        began = time.monotonic()
        async with self._locks.local(series(ref.id, caller.scope)):
            known = self._usable(ref, caller)
            framings = await self._keep_all(known, progress)
        return WarmReport(str(known.document.ref), framings, time.monotonic() - began)

    async def _keep_all(
        self, known: KnownDocument, progress: ReportProgress | None
    ) -> tuple[FramingWarmth, ...]:
        document = known.document
        total = sum(len(prefix.token_ids) for prefix in known.prefixes)
        done = 0
        holding = self._holdings.get(document.ref)
        there = [(prefix, holding.of(prefix.name)) for prefix in known.prefixes]
        # All of them first: framings may share pages.
        before = [0 if held is None else self._in_memory(held, document) for _, held in there]
        warmed: list[tuple[FramedPrefix, Kept, int]] = []
        for (prefix, held), had in zip(there, before, strict=True):
            report = partial(_report, progress, done, total) if progress is not None else None
            kept = await self._local.keep(prefix.token_ids, document.scope, report, document.owner_scope)
            if held is None or held.pages != kept.pages:
                await run_to_completion(self._replace(known, KeptFraming(prefix.name, kept)))
            warmed.append((prefix, kept, had))
            done += len(prefix.token_ids)
        # Replicas load nothing that this process sees; what fills no block of theirs is neither there nor computed.
        loads = not self._local.info.fleet
        return tuple(
            FramingWarmth(
                prefix.name,
                len(prefix.token_ids),
                had,
                self._in_memory(kept, document),
                loaded=max(0, len(prefix.token_ids) - had - kept.computed) if loads else 0,
                computed=kept.computed,
            )
            for prefix, kept, had in warmed
        )

    def _in_memory(self, kept: Kept, document: Document) -> int:
        return self._local.in_memory(kept, document.scope, document.owner_scope)

    async def _replace(self, known: KnownDocument, framing: KeptFraming) -> None:
        """Record pages that were computed for the first time under this engine."""
        document, names = known.document, {prefix.name for prefix in known.prefixes} - {framing.framing}
        others = tuple(f for f in self._holdings.get(document.ref).framings if f.framing in names)
        holding = DocumentHolding(document.scope, (*others, framing), document.owner_scope)
        await asyncio.to_thread(
            self._registry.replace_kept, document.ref, holding.framings, self._fingerprint
        )
        self._holdings.put(document.ref, holding)

    def _own(self, ref: DocumentRef, caller: Caller) -> KnownDocument:
        known = self._library.resolve(ref, caller)
        if known.document.owner_scope != caller.scope:
            raise PermissionDenied(f"Only the publisher of '{ref.id}' can pin, unpin or warm it.")
        return known

    def _usable(self, ref: DocumentRef, caller: Caller) -> KnownDocument:
        known = self._own(ref, caller)
        if known.quarantined is not None:
            raise DocumentRejected(
                f"'{known.document.ref}' is in quarantine, and its pages are not used: publish it again or verify it "
                "first.",
                param="document",
            )
        return known


def _report(progress: ReportProgress, before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)

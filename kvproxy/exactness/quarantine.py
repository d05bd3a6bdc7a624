"""`Quarantine`: stops the use of a document's pages after a failed exactness check, until a new check passes.

A version in quarantine stays known. Its readers get misses, computed from scratch and leaving no pages behind. Its
pages are dropped from memory and disk. It is released when it is published again, or when a verification finds its
recomputed pages exact; a restart does not change it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from kvproxy.backends.base import BadPage
from kvproxy.core import PAGE_TOKENS, DocumentRef
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.publishing.holdings import DocumentHolding
from kvproxy.publishing.publishing_parts import PublishingParts
from kvproxy.runtime.run_to_completion import run_to_completion

logger = logging.getLogger(__name__)


class Quarantine:
    """Confines and releases document versions. Event loop only.

    It shares its parts with the publisher, which is the only other writer of them.

    Example:
        ``await quarantine.confine({ref: "page 3 differs from a prefill from position 801 on"})``
    """

    def __init__(
        self, parts: PublishingParts, released: Callable[[DocumentRef], Awaitable[None]] | None = None
    ) -> None:
        """Take the publisher's parts. ``released`` is awaited for each version that is released."""
        self._library, self._registry, self._local = parts.library, parts.registry, parts.local
        self._holdings, self._locks = parts.holdings, parts.locks
        self._fingerprint = parts.fingerprint
        self._released = released
        self._confined_at: dict[DocumentRef, float] = {}
        self._since: dict[DocumentRef, float] = {}
        self._writing = asyncio.Lock()
        """Orders the writes of notes: they reach the disk in the order in which they were decided."""

    def owners(self, pages: Iterable[BadPage]) -> dict[DocumentRef, BadPage]:
        """Return the published versions that these pages belong to, with the first bad page of each."""
        found: dict[DocumentRef, BadPage] = {}
        for page in pages:
            for ref in self._holdings.needing(page.key, page.scope):
                found.setdefault(ref, page)
        return found

    def owners_at(self, ref: DocumentRef, framing: str, position: int) -> list[DocumentRef]:
        """Return the published versions that share the page of ``ref``'s position under ``framing``, itself included.

        A page's key follows from all before it, so versions that share a later page share this one too.

        Example:
            ``quarantine.owners_at(DocumentRef("handbook", 3), "system", 801)``
        """
        holding = self._holdings.get(ref)
        kept, index = holding.of(framing), position // PAGE_TOKENS
        if kept is None or index >= len(kept.pages):
            return [ref]
        return [ref, *(o for o in self._holdings.needing(kept.pages[index].key, holding.scope) if o != ref)]

    async def confine(self, notes: Mapping[DocumentRef, str], *, spare: bool = True) -> None:
        """Stop using any kept page of these versions. A note is the reason, shown in the views of the document.

        No new reader gets their pages from the moment of this call. A version that no longer exists is skipped.
        ``spare`` keeps the pages that versions in use need too: right where all owners of each bad page are named.
        """
        # All are marked before the first await: a page to spare must not belong to the next of them.
        there = {
            ref: replace(known, quarantined=notes[ref]) for ref in notes if (known := self._library.find(ref))
        }
        for ref, known in there.items():
            self._library.add(known)
            self._since.setdefault(ref, time.time())
            logger.error(
                "%s is in quarantine: its readers are prefilled until it is published again "
                "or verified exact: %s",
                ref,
                known.quarantined,
            )
        if there:
            await run_to_completion(self._confine(there, spare=spare))

    def confined_since(self, ref: DocumentRef, moment: float) -> bool:
        """Return whether its pages were dropped by :meth:`confine` after ``moment``, of ``time.perf_counter``."""
        return self._confined_at.get(ref, float("-inf")) >= moment

    def since(self, ref: DocumentRef) -> float | None:
        """Return since when a version is in quarantine, in Unix seconds; None: since before this process's start, or
        by another process."""
        return self._since.get(ref)

    async def recompute_and_release(self, ref: DocumentRef) -> float:
        """Prefill a version in quarantine again and release it, under the caller's document lock.

        Returns seconds of engine time, 0.0 where it was not in quarantine. Raises the errors of
        ``LocalBackend.keep``; the version then stays in quarantine.
        """
        known = self._library.find(ref)
        if known is None or known.quarantined is None:
            return 0.0
        framings = await self._recompute(known)
        await run_to_completion(self._release(known))
        return sum(framing.kept.prefill_s for framing in framings)

    async def recompute(self, ref: DocumentRef) -> None:
        """Prefill a version in quarantine again, for a check; it stays in quarantine."""
        async with self._lock_of(ref):
            known = self._library.find(ref)
            if known is not None and known.quarantined is not None:
                await self._recompute(known)

    async def end_check(self, ref: DocumentRef, *, exact: bool) -> None:
        """End the check of a recomputed version: release it when ``exact``, else drop its pages again."""
        async with self._lock_of(ref):
            known = self._library.find(ref)
            if known is None or known.quarantined is None:
                return
            await run_to_completion(self._release(known) if exact else self._drop_all(ref))

    def _lock_of(self, ref: DocumentRef) -> AbstractAsyncContextManager[None]:
        known = self._library.find(ref)
        return self._locks.local(known.document.series if known is not None else ref.name)

    async def _confine(self, there: Mapping[DocumentRef, KnownDocument], *, spare: bool) -> None:
        """Write every note to disk before the first page is dropped: after a crash or a failed drop, no version of
        them is in use at the next start."""
        try:
            async with self._writing:
                await asyncio.to_thread(
                    self._registry.quarantine_all,
                    {ref: known.quarantined or "" for ref, known in there.items()},
                )
        except Exception as e:  # any failure: the pages must be dropped all the same
            for ref in there:
                logger.error(
                    "the quarantine of %s could not be written to disk and ends with this process: %s", ref, e
                )
        for ref, known in there.items():
            async with self._locks.local(known.document.series):
                if self._library.find(ref) is known:  # neither deleted nor released meanwhile
                    for fault in await self._drop(ref, spare=spare):
                        logger.error(
                            "%s: pages in quarantine could not be dropped; they are not used: %s", ref, fault
                        )
                    self._confined_at[ref] = time.perf_counter()

    async def _drop(self, ref: DocumentRef, *, spare: bool = True) -> Sequence[Exception]:
        """Drop a version's pages from memory and disk, and return the failures; one framing's failure does not stop
        the next.

        Without ``spare`` pages that a version in use needs are dropped too: its next reader computes them again, and
        the next start puts them back on disk.
        """
        holding = self._holdings.get(ref)
        needed = self._holdings.needed(holding.keys, holding.scope, self._in_use) if spare else frozenset()
        faults: list[Exception] = []
        for framing in holding.framings:
            try:
                await self._local.forget(framing.kept, holding.scope, needed, holding.owner)
            except (
                Exception
            ) as e:  # an error of the disk or of the engine must not keep the next framing's pages
                faults.append(e)
        return faults

    async def _drop_all(self, ref: DocumentRef) -> None:
        """Drop the pages of a version that must be gone before others are computed. Raises the first failure."""
        for fault in await self._drop(ref):
            raise fault

    def _in_use(self, ref: DocumentRef) -> bool:
        known = self._library.find(ref)
        return known is not None and known.quarantined is None

    async def _recompute(self, known: KnownDocument) -> Sequence[KeptFraming]:
        document = known.document
        await run_to_completion(self._drop_all(document.ref))
        framings = []
        for prefix in known.prefixes:
            kept = await self._local.keep(prefix.token_ids, document.scope, owner=document.owner_scope)
            framings.append(KeptFraming(prefix.name, kept))
        holding = DocumentHolding(document.scope, tuple(framings), document.owner_scope)
        await run_to_completion(self._replace_kept(document.ref, holding))
        return framings

    async def _replace_kept(self, ref: DocumentRef, holding: DocumentHolding) -> None:
        await asyncio.to_thread(self._registry.replace_kept, ref, holding.framings, self._fingerprint)
        self._holdings.put(ref, holding)

    async def _release(self, known: KnownDocument) -> None:
        """Release a version, unless it was confined again since it was read."""
        ref = known.document.ref
        async with self._writing:
            if self._library.find(ref) is known:
                await asyncio.to_thread(self._registry.quarantine, ref, None)
            if self._library.find(ref) is not known:
                return  # its new note is written after this
            self._library.add(replace(known, quarantined=None))
        self._since.pop(ref, None)
        logger.warning("%s is out of quarantine", ref)
        if self._released is not None:
            await self._released(ref)

"""`Restoration`: makes published documents known after a restart, and computes their missing pages again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from kvproxy.backends.base import Kept
from kvproxy.core import DocumentRef
from kvproxy.documents.library.document import Document, FramedPrefix
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.prepared.preparation import Prepared
from kvproxy.documents.registry.registry_entry import KeptFraming, RegistryEntry
from kvproxy.errors import KVProxyError, Retryable
from kvproxy.publishing.holdings import DocumentHolding
from kvproxy.publishing.published_pages import tokens_of
from kvproxy.publishing.publishing_parts import PublishingParts
from kvproxy.runtime.run_to_completion import run_to_completion

logger = logging.getLogger(__name__)

_ATTEMPTS = 8
_AT_ONCE = 64
"""Documents read between two yields to the event loop."""


@dataclass(frozen=True, slots=True)
class StalePrefix:
    """A published prefix whose pages must be computed again."""

    ref: DocumentRef
    series: str
    prefix: FramedPrefix
    reason: str


class Restoration:
    """Restores the publisher's documents, with the publisher's own parts: ``restore`` once at the start, then
    ``refresh``.

    Example:
        ``await restoration.restore()``
    """

    def __init__(self, parts: PublishingParts, served: Callable[[RegistryEntry], bool]) -> None:
        """Take the publisher's parts. ``served`` returns whether a registered version is served, and hides it where
        not."""
        self._preparer, self._texts = parts.preparer, parts.texts
        self._library, self._registry, self._local = parts.library, parts.registry, parts.local
        self._holdings, self._locks, self._pins = parts.holdings, parts.locks, parts.pins
        self._fingerprint = parts.fingerprint
        self._served = served
        self._stale: list[StalePrefix] = []

    async def restore(self) -> None:
        """Make registered documents known and their pages findable; missing pages wait for ``refresh``.

        Prefixes of other spellings with more tokens than a prefix may have are left out.
        """
        registered = await asyncio.to_thread(self._registry.load, self._fingerprint)
        for begin in range(0, len(registered), _AT_ONCE):
            some = [e for e in registered[begin : begin + _AT_ONCE] if self._served(e)]
            for entry, prepared in await asyncio.to_thread(self.prepared, some):
                self._library.add(prepared.known(entry.document, entry.quarantined))
                if entry.pinned:
                    self._pins.remember(entry.document.ref, entry.document.owner_scope)
                if entry.quarantined is None:
                    self.add_stale(await self.find_pages(entry, prepared.prefixes))
                else:
                    self._hold(entry.document, entry.framings)
                    logger.error(
                        "%s stays in quarantine; run `kvproxy verify` or publish it again: %s",
                        entry.document.ref,
                        entry.quarantined,
                    )
        if self._texts is not None:
            await asyncio.to_thread(self._texts.keep_only, [entry.document.ref for entry in registered])

    def prepared(self, entries: Sequence[RegistryEntry]) -> list[tuple[RegistryEntry, Prepared]]:
        """Read prepared texts from disk, or prepare and write them. Blocking: for a worker thread."""
        done = []
        for entry in entries:
            prepared = self._texts.get(entry.document) if self._texts is not None else None
            if prepared is None:
                prepared = self._preparer.preparation.prepare(entry.document.text, self._preparer.longest)
                if self._texts is not None:
                    self._texts.put(entry.document, prepared)
            done.append((entry, prepared))
        return done

    async def refresh(self) -> None:
        """Prefill the pages that ``restore`` found missing. Ends by itself; failures are logged."""
        stale, self._stale = self._stale, []
        for item in stale:
            try:
                await self._refresh_one(item)
            except KVProxyError as e:
                logger.warning(
                    "%s (%s) stays without pages, so its readers are prefilled; publish it again: %s",
                    item.ref,
                    item.prefix.name,
                    e.message,
                )
        await self._pins.restore(
            lambda ref: (found := self._library.find(ref)) is not None and not found.quarantined
        )

    async def look_again(self) -> int:
        """Find the published prefixes whose pages are not all on disk now, for the next ``refresh``; return their
        number. Versions in quarantine are left out."""
        for known in list(self._library):
            if known.quarantined is None:
                framings = self._holdings.get(known.document.ref).framings
                entry = RegistryEntry(known.document, framings)
                self.add_stale(await self.find_pages(entry, known.prefixes))
        return len(self._stale)

    def add_stale(self, stale: Iterable[StalePrefix]) -> None:
        """Let the next ``refresh`` compute these."""
        for item in stale:
            logger.info("%s (%s) will be prefilled again: %s", item.ref, item.prefix.name, item.reason)
            self._stale.append(item)

    async def find_pages(self, entry: RegistryEntry, prefixes: Sequence[FramedPrefix]) -> list[StalePrefix]:
        """Record a version's kept pages and make them findable; return the prefixes whose pages are missing.

        Example:
            ``restoration.add_stale(await restoration.find_pages(entry, prepared.prefixes))``
        """
        document = entry.document
        stale: list[StalePrefix] = []
        wanted = {p.name: p for p in prefixes}
        framings = tuple(_shared(framing, wanted.get(framing.framing)) for framing in entry.framings)
        self._hold(document, framings)
        for name, prefix in wanted.items():
            kept = self._holdings.get(document.ref).of(name)
            reason = await self._why_missing(kept, prefix, document)
            if reason is not None:
                stale.append(StalePrefix(document.ref, document.series, prefix, reason))
        return stale

    async def _why_missing(self, kept: Kept | None, prefix: FramedPrefix, document: Document) -> str | None:
        if kept is None:
            return "no pages of it are recorded for this engine"
        if kept.token_ids != prefix.token_ids:
            return "tokenizer or chat template have changed"
        on_disk = await self._local.known(kept, document.scope, document.owner_scope)
        if on_disk >= tokens_of(kept):
            return None
        return f"{on_disk} of {tokens_of(kept)} tokens are on disk for this engine"

    async def _refresh_one(self, item: StalePrefix) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            async with self._locks.local(item.series):
                known = self._library.find(item.ref)
                if known is None:
                    return
                try:
                    document = known.document
                    kept = await self._local.keep(
                        item.prefix.token_ids, document.scope, owner=document.owner_scope
                    )
                except Retryable as e:
                    if attempt == _ATTEMPTS:
                        raise
                    delay = e.retry_after_s or 0
                else:
                    await run_to_completion(self._replace(known, KeptFraming(item.prefix.name, kept)))
                    return
            await asyncio.sleep(delay)

    async def _replace(self, known: KnownDocument, framing: KeptFraming) -> None:
        # Framings no longer configured end here; the store collects their pages at the next start.
        document, names = known.document, {prefix.name for prefix in known.prefixes} - {framing.framing}
        others = tuple(f for f in self._holdings.get(document.ref).framings if f.framing in names)
        framings = (*others, framing)
        await asyncio.to_thread(self._registry.replace_kept, document.ref, framings, self._fingerprint)
        self._hold(document, framings)

    def _hold(self, document: Document, framings: tuple[KeptFraming, ...]) -> None:
        self._holdings.put(document.ref, DocumentHolding(document.scope, framings, document.owner_scope))


def _shared(framing: KeptFraming, prefix: FramedPrefix | None) -> KeptFraming:
    """Return a kept framing with the prefix's own token ids, where they are equal: in memory once, not twice."""
    if prefix is None or framing.kept.token_ids != prefix.token_ids:
        return framing
    return KeptFraming(framing.framing, replace(framing.kept, token_ids=prefix.token_ids))

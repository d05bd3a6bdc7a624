"""`LackingPages`: looks again for pages that another proxy has announced, and computes those that do not come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kvproxy.core import DocumentRef, stored_key
from kvproxy.documents.registry.registry_entry import KeptFraming, RegistryEntry
from kvproxy.publishing.publishing_parts import PublishingParts
from kvproxy.publishing.restoration import Restoration, StalePrefix

logger = logging.getLogger(__name__)

PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
"""Before each further look. A publish is announced when its pages are in local files; they are in the object store soon
after it, or before it where ``store.objects.acknowledge`` is ``objects``."""


class SharedPages(Protocol):
    """Pages that proxies with the same engine share, like ``TieredPages``. Blocking."""

    def find(self, keys: Sequence[bytes]) -> int:
        """Look for pages by their keys in the page store, so that they are found; return the number that is there.
        Raises nothing."""

    def release(self, keys: Sequence[bytes]) -> None:
        """Leave what is shared of these pages to the proxy that deletes them."""


@dataclass(slots=True)
class _Lacking:
    stale: list[StalePrefix]
    looks: int = 0


class LackingPages:
    """Versions whose pages are not there yet. Event loop only.

    Example:
        ``lacking = LackingPages(parts, restoration, tiered); await lacking.look(entry, prepared.prefixes)``
    """

    def __init__(
        self, parts: PublishingParts, restoration: Restoration, shared: SharedPages | None = None
    ) -> None:
        """``shared``: where other proxies' pages come from; without it those that are missing are computed at once."""
        self._parts, self._restoration, self._shared = parts, restoration, shared
        self._lacking: dict[DocumentRef, _Lacking] = {}
        self._some, self._due = asyncio.Event(), asyncio.Event()

    async def look(self, entry: RegistryEntry) -> None:
        """Record a known version's kept pages and make them findable; what is missing is looked for again."""
        stale = await self._found(entry)
        self._lacking.pop(entry.document.ref, None)
        if not stale:
            return
        if self._shared is None:
            self._restoration.add_stale(stale)
            self._due.set()
        else:
            self._lacking[entry.document.ref] = _Lacking(stale)
            self._some.set()

    async def release(self, ref: DocumentRef) -> None:
        """Leave a version's shared pages to the proxy that deletes them, before they are dropped here."""
        self._lacking.pop(ref, None)
        holding = self._parts.holdings.get(ref)
        if self._shared is not None and holding.framings:
            needed = self._parts.holdings.needed(holding.keys, holding.scope, lambda other: other != ref)
            keys = [stored_key(key, holding.scope) for key in holding.keys - needed]
            await asyncio.to_thread(self._shared.release, keys)

    async def run(self) -> None:
        """Look again, and compute, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_again())
            tasks.create_task(self._compute())

    async def _look_again(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            while self._lacking:
                await asyncio.sleep(PAUSES_S[min(lacking.looks for lacking in self._lacking.values())])
                for ref, lacking in list(self._lacking.items()):
                    try:
                        await self._once_more(ref, lacking)
                    except Exception:  # one version's failure leaves the others to be looked for
                        logger.exception("pages of %s could not be looked for", ref)
                        self._lacking.pop(ref, None)

    async def _once_more(self, ref: DocumentRef, lacking: _Lacking) -> None:
        known = self._parts.library.find(ref)
        if known is None or known.quarantined is not None:
            self._lacking.pop(ref, None)
            return
        entry = RegistryEntry(known.document, self._parts.holdings.get(ref).framings)
        stale = await self._found(entry)
        if self._lacking.get(ref) is not lacking:
            return  # it has changed meanwhile
        lacking.stale, lacking.looks = stale, lacking.looks + 1
        if not stale or lacking.looks == len(PAUSES_S):
            del self._lacking[ref]
            self._restoration.add_stale(stale)
            self._due.set()

    async def _compute(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._restoration.refresh()
            except Exception:  # whatever the engine raises: the next version is computed all the same
                logger.exception("pages of documents that other proxies have published could not be computed")

    async def _found(self, entry: RegistryEntry) -> list[StalePrefix]:
        known = self._parts.library.find(entry.document.ref)
        if known is None:
            return []
        if self._shared is not None:
            keys = _keys(entry.framings, entry.document.scope)
            await asyncio.to_thread(self._shared.find, keys)
        return await self._restoration.find_pages(entry, known.prefixes)


def _keys(framings: Sequence[KeptFraming], scope: str) -> list[bytes]:
    keys = (stored_key(page.key, scope) for framing in framings for page in framing.kept.pages)
    return list(dict.fromkeys(keys))

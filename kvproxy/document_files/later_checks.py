"""`LaterChecks`: computes the rest of an import's pages again after it is served, and confines what is wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kvproxy.backends.base import LocalBackend
from kvproxy.core import DocumentRef
from kvproxy.document_files.staged_pages import PagesToCheck
from kvproxy.errors import DocumentNotFound, HitLost, KVProxyError, Overloaded
from kvproxy.publish import Publisher

logger = logging.getLogger(__name__)

PAUSE_S = 5.0
"""Seconds before a check is tried again that other requests left no place for."""


@dataclass(frozen=True, slots=True)
class _Rest:
    ref: DocumentRef
    framings: tuple[PagesToCheck, ...]


class LaterChecks:
    """The imported versions of which pages are still to be computed again. Event loop only.

    Requests go first. A version with a wrong page goes into quarantine, as after a failed verification. How many pages
    were checked is in the version's manifest; a check that the end of the process cut short begins anew.

    Example:
        ``later = LaterChecks(publisher, local); task = asyncio.create_task(later.run())``
    """

    def __init__(self, publisher: Publisher, local: LocalBackend) -> None:
        self._publisher = publisher
        self._local = local
        self._waiting: asyncio.Queue[_Rest] = asyncio.Queue()

    def add(self, ref: DocumentRef, framings: Sequence[PagesToCheck]) -> None:
        """Check these pages of a version when there is time."""
        if any(part.indices for part in framings):
            self._waiting.put_nowait(_Rest(ref, tuple(framings)))

    async def run(self) -> None:
        """Check what waits, until it is cancelled. The failure of one check is logged and does not stop the next."""
        await self._resume()
        while True:
            rest = await self._waiting.get()
            try:
                await self._check(rest)
            except (HitLost, DocumentNotFound):
                logger.info("%s: its pages are not all there any more, and are not checked further", rest.ref)
            except Exception as e:  # an error of the engine or the disk: the next start tries again
                logger.warning("the imported pages of %s could not all be checked: %s", rest.ref, e)

    async def _resume(self) -> None:
        """Take up the versions that an earlier process had not checked whole."""
        manifests = self._publisher.manifests
        for known in list(self._publisher.library):
            document = known.document
            if manifests is None or document.origin != "imported" or known.quarantined is not None:
                continue
            try:
                source = (await manifests.current(document.ref)).manifest.source
            except KVProxyError as e:
                logger.warning("whether %s was checked cannot be read: %s", document.ref, e.message)
                continue
            if source is not None and source.checked < source.pages:
                holding = self._publisher.holding(document.ref)
                parts = [PagesToCheck(f.kept, tuple(range(len(f.kept.pages)))) for f in holding.framings]
                self.add(document.ref, parts)

    async def _check(self, rest: _Rest) -> None:
        known = self._publisher.library.find(rest.ref)
        if known is None or known.quarantined is not None:
            return
        scope, owner = known.document.scope, known.document.owner_scope
        for part in rest.framings:
            while True:
                try:
                    found = await self._local.recheck(part.kept, scope, part.indices, None, owner)
                    break
                except Overloaded:
                    await asyncio.sleep(PAUSE_S)
            if found.bad is not None:
                logger.error("%s was imported with a wrong page: %s", rest.ref, found.bad.note)
                owners = self._publisher.quarantine.owners([found.bad])
                await self._publisher.quarantine.confine({ref: page.note for ref, page in owners.items()})
                return
        manifests = self._publisher.manifests
        if manifests is not None:
            source = (await manifests.current(rest.ref)).manifest.source
            if source is not None:
                await manifests.renew(rest.ref, replace(source, checked=source.pages))
        logger.info("%s: all imported pages were computed again, and are equal to the bit", rest.ref)

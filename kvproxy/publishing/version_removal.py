"""`VersionRemoval`: deletes versions, and drops what is kept of those that are deleted or hidden."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kvproxy.core import DocumentRef
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.publishing.publishing_parts import PublishingParts


class VersionRemoval:
    """Deletes versions with all that is kept of them, under the caller's lock of their document. Event loop only.

    Example:
        ``await removal.delete([known], [])``
    """

    def __init__(self, parts: PublishingParts) -> None:
        self._parts = parts

    async def delete(self, found: Sequence[KnownDocument], over: Sequence[DocumentRef]) -> None:
        """Delete versions: hidden first, so that no new reader finds pages that are being dropped. ``over``: versions
        that are not served any more.

        Example:
            ``await removal.delete([known], [])``
        """
        library = self._parts.library
        refs = [*(known.document.ref for known in found), *over]
        for ref in refs:
            library.remove(ref)
        try:
            await asyncio.to_thread(self._parts.registry.delete, refs)
        except BaseException:
            for known in found:
                library.add(known)
            raise
        for ref in over:
            library.withdrawn.take(ref)
        await self.forget(refs)

    async def forget(self, refs: list[DocumentRef]) -> None:
        """Drop all that is kept of versions whose rows are deleted."""
        for ref in refs:
            self._parts.reads.forget(ref)
        if self._parts.texts is not None:
            await asyncio.to_thread(self._parts.texts.drop, refs)
        await self.let_go(refs)

    async def let_go(self, refs: list[DocumentRef]) -> None:
        """Drop the pages and pins of versions that no reader finds any more."""
        await self._parts.pins.drop(refs)
        await self._parts.pages.drop(self._parts.holdings.take(refs))

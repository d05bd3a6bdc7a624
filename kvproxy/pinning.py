"""Documents whose publishers want them to stay in memory, and who says how much memory that may take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from kvproxy.backends.base import LocalBackend
from kvproxy.core import DocumentRef
from kvproxy.documents.registry import Registry
from kvproxy.documents.shelf import Shelf
from kvproxy.errors import CannotFit, KVProxyError

logger = logging.getLogger(__name__)


class Pins:
    """Event loop only; in the document's turn. The publisher's: nobody else pins."""

    def __init__(self, registry: Registry, local: LocalBackend, shelf: Shelf) -> None:
        self._registry = registry
        self._local = local
        self._shelf = shelf
        self._wanted: set[DocumentRef] = set()
        self._held: dict[DocumentRef, list[Callable[[], Awaitable[None]]]] = {}

    def __contains__(self, ref: object) -> bool:
        return ref in self._wanted

    def check(self, lengths: Iterable[int], instead_of: DocumentRef | None) -> None:
        """Raises CannotFit when prefixes of so many tokens cannot be pinned; ``instead_of`` would give its place."""
        size = self._local.info.page_tokens
        needed = sum(-(-tokens // size) for tokens in lengths)
        given = 0
        if instead_of in self._held and instead_of is not None:
            holding = self._shelf.get(instead_of)
            given = sum(len(framing.kept.pages) for framing in holding.framings)
        room = self._local.pin_room() + given
        if needed > room:
            raise CannotFit(
                f"Pinning this document would take {needed} pages of KV, and {room} are left of what documents may "
                "pin. Publish it without, unpin another, or raise engine.page_budget.",
                param="pinned",
            )

    async def pin(self, ref: DocumentRef) -> None:
        """Bring every framing of a published version into memory and keep it there, also after a restart. Raises
        CannotFit and what ``LocalBackend.keep`` does; nothing is pinned then."""
        if ref in self._held:
            return
        await self._hold(ref)
        try:
            await asyncio.to_thread(self._registry.pin, ref, True)
        except BaseException:
            await self._let_go(ref)
            raise
        self._wanted.add(ref)

    async def move(self, before: DocumentRef | None, after: DocumentRef | None) -> None:
        """Unpin one version, then pin another."""
        if before in self._wanted and before is not None:
            await asyncio.to_thread(self._registry.pin, before, False)
            await self.drop([before])
        if after is not None:
            await self.pin(after)

    async def drop(self, refs: Sequence[DocumentRef]) -> None:
        """These versions are deleted, and with them what the registry knows of their pins."""
        for ref in refs:
            self._wanted.discard(ref)
            await self._let_go(ref)

    async def renew(self, ref: DocumentRef) -> None:
        """The pages of a pinned version were made anew: they take the place of the old ones."""
        if ref in self._wanted:
            await self._let_go(ref)
            await self._hold(ref)

    def remember(self, ref: DocumentRef) -> None:
        """It was pinned when the process before this one ended; ``restore`` brings it back."""
        self._wanted.add(ref)

    async def restore(self, fit: Callable[[DocumentRef], bool]) -> None:
        """Bring back what was pinned at the last end and is ``fit``. Failures are logged: it is served all the
        same."""
        for ref in sorted(self._wanted - self._held.keys(), key=str):
            if not fit(ref):
                continue
            try:
                await self.renew(ref)
                logger.info("%s is pinned again", ref)
            except KVProxyError as e:
                logger.warning("%s is not pinned: %s", ref, e.message)

    async def _hold(self, ref: DocumentRef) -> None:
        holding = self._shelf.get(ref)
        held = self._held[ref] = []
        try:
            for framing in holding.framings:
                held.append(await self._local.pin(framing.kept, holding.scope))
        except BaseException:
            await self._let_go(ref)
            raise

    async def _let_go(self, ref: DocumentRef) -> None:
        for release in self._held.pop(ref, []):
            await release()

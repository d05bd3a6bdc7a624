"""Documents whose publishers want them to stay in memory, and who says how much memory that may take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kvproxy.backends.base import LocalBackend
from kvproxy.core import DocumentRef
from kvproxy.documents.library.registry import Registry
from kvproxy.errors import CannotFit, KVProxyError
from kvproxy.publishing.holdings import DocumentHolding, Shelf

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Room:
    """Pages set aside for a version that is to be pinned, while it is computed. Pins' own to write."""

    pages: int
    instead_of: DocumentRef | None
    """The version whose pin it takes over."""
    reserved: int = 0
    """Of ``pages``, beyond those that ``instead_of`` gives back."""
    lent: bool = False
    """``instead_of`` was let go for it."""


class Pins:
    """Event loop only; in the document's turn. The publisher's: nobody else pins."""

    def __init__(self, registry: Registry, local: LocalBackend, shelf: Shelf) -> None:
        self._registry = registry
        self._local = local
        self._shelf = shelf
        self._wanted: set[DocumentRef] = set()
        self._held: dict[DocumentRef, list[Callable[[], Awaitable[None]]]] = {}
        self._reserved = 0
        """Pages set aside for versions that are being computed."""
        self._changing = asyncio.Lock()
        """What is left is looked at only while nobody takes some of it, page by page."""

    def __contains__(self, ref: object) -> bool:
        return ref in self._wanted

    def holds(self, ref: DocumentRef) -> bool:
        """Whether its pages are pinned now: not before they were brought back after a restart."""
        return ref in self._held

    @asynccontextmanager
    async def room(self, lengths: Iterable[int], instead_of: DocumentRef | None) -> AsyncIterator[Room]:
        """Set pages aside for prefixes of so many tokens, while they are computed; ``instead_of`` will give its place.
        What was not used when the block ends is given back. Raises CannotFit."""
        size = self._local.info.page_tokens
        room = Room(sum(-(-tokens // size) for tokens in lengths), instead_of)
        if room.pages:
            async with self._changing:
                self._set_aside(room)
        try:
            yield room
        finally:
            self._use(room)

    async def hold(self, ref: DocumentRef, holding: DocumentHolding, room: Room) -> None:
        """Bring all of ``holding`` into memory and keep it there, not yet written down: before the version is visible,
        so that a refusal is one of the publish as a whole. Raises CannotFit and what ``LocalBackend.pin`` does; nothing
        is held then, until ``give_back``."""
        async with self._changing:
            others = self._reserved - room.reserved
            if room.instead_of is not None and room.pages > self._local.pin_room() - others:
                room.lent = room.instead_of in self._held
                await self._let_go(room.instead_of)
            await self._hold(ref, holding)
            self._use(room)

    async def give_back(self, ref: DocumentRef, room: Room) -> None:
        """The version was not made visible: let it go, and hold again what had given its place."""
        await self._let_go(ref)
        if room.lent and room.instead_of is not None:
            await self._hold_again(room.instead_of)

    async def moved(self, before: DocumentRef | None, after: DocumentRef | None) -> None:
        """The registry says so: ``after`` is pinned, and ``before`` no more."""
        if after is not None:
            self._wanted.add(after)
        if before is not None:
            await self.drop([before])

    async def pin(self, ref: DocumentRef, room: Room) -> None:
        """Bring every framing of a published version into memory and keep it there, also after a restart. Raises
        CannotFit and what ``LocalBackend.pin`` does; nothing is pinned then."""
        await self.hold(ref, self._shelf.get(ref), room)
        try:
            await asyncio.to_thread(self._registry.pin, ref, True)
        except BaseException:
            await self._let_go(ref)
            raise
        self._wanted.add(ref)

    async def unpin(self, ref: DocumentRef) -> None:
        if ref in self._wanted:
            await asyncio.to_thread(self._registry.pin, ref, False)
            await self.drop([ref])

    async def drop(self, refs: Sequence[DocumentRef]) -> None:
        """These versions are deleted, and with them what the registry knows of their pins."""
        for ref in refs:
            self._wanted.discard(ref)
            await self._let_go(ref)

    async def renew(self, ref: DocumentRef) -> None:
        """The pages of a pinned version were made anew: they take the place of the old ones. What cannot be pinned is
        logged: it is served all the same."""
        if ref in self._wanted:
            await self._hold_again(ref)

    def remember(self, ref: DocumentRef) -> None:
        """It was pinned when the process before this one ended; ``restore`` brings it back."""
        self._wanted.add(ref)

    async def restore(self, fit: Callable[[DocumentRef], bool]) -> None:
        """Bring back what was pinned at the last end and is ``fit``."""
        for ref in sorted(self._wanted - self._held.keys(), key=str):
            if fit(ref) and await self._hold_again(ref):
                logger.info("%s is pinned again", ref)

    async def _hold_again(self, ref: DocumentRef) -> bool:
        """Whether it is held now; failures are logged."""
        async with self._changing:
            await self._let_go(ref)
            try:
                await self._hold(ref, self._shelf.get(ref))
            except KVProxyError as e:
                logger.warning("%s is not pinned: %s", ref, e.message)
                return False
            return True

    async def _hold(self, ref: DocumentRef, holding: DocumentHolding) -> None:
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

    def _set_aside(self, room: Room) -> None:
        given = 0
        if room.instead_of is not None and room.instead_of in self._held:
            given = sum(len(framing.kept.pages) for framing in self._shelf.get(room.instead_of).framings)
        left = max(0, self._local.pin_room() - self._reserved + given)
        if room.pages > left:
            raise CannotFit(
                f"Pinning this document would take {room.pages} pages of KV, and {left} are left of what documents may "
                "pin. Publish it without, unpin another, or raise engine.page_budget.",
                param="pinned",
            )
        room.reserved = max(0, room.pages - given)
        self._reserved += room.reserved

    def _use(self, room: Room) -> None:
        """What was set aside is pinned now, or not wanted any more."""
        self._reserved -= room.reserved
        room.reserved = 0

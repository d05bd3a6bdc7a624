"""`Pins`: pins published documents in memory, within the engine's pin budget."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kvproxy.backends.base import LocalBackend
from kvproxy.core import DocumentRef
from kvproxy.documents.registry.registry import Registry
from kvproxy.errors import CannotFit, KVProxyError
from kvproxy.publishing.holdings import DocumentHolding, Holdings

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class PinRoom:
    """Pages reserved for a version that is to be pinned, while it is computed. Only :class:`Pins` writes it."""

    pages: int
    replaced: DocumentRef | None
    """The version that gives its pin to the new one."""
    reserved: int = 0
    """The part of ``pages`` beyond those that the replaced version gives back."""
    unpinned: bool = False
    """True when the replaced version was unpinned to make this room."""


class Pins:
    """The pinned versions, and the pages reserved for versions being computed.

    Event loop only, under the document's lock. Only the publisher pins.

    Example:
        ``async with pins.reserve([3000], None) as room: await pins.pin(ref, room)``
    """

    def __init__(self, registry: Registry, local: LocalBackend, holdings: Holdings) -> None:
        self._registry = registry
        self._local = local
        self._holdings = holdings
        self._wanted: set[DocumentRef] = set()
        self._held: dict[DocumentRef, list[Callable[[], Awaitable[None]]]] = {}
        self._reserved = 0
        """Pages reserved for versions that are being computed."""
        self._changing = asyncio.Lock()
        """Held while the room left is read and while pages are pinned one by one, so that no two pins count the
        same room."""

    def __contains__(self, ref: object) -> bool:
        return ref in self._wanted

    def holds(self, ref: DocumentRef) -> bool:
        """Return whether its pages are pinned now. False after a restart until they are restored."""
        return ref in self._held

    @asynccontextmanager
    async def reserve(self, lengths: Iterable[int], replaced: DocumentRef | None) -> AsyncIterator[PinRoom]:
        """Reserve pages for prefixes of ``lengths`` tokens within the block; ``replaced`` will give its place.

        Pages not pinned when the block ends are given back. Raises CannotFit.
        """
        size = self._local.info.page_tokens
        room = PinRoom(sum(-(-tokens // size) for tokens in lengths), replaced)
        if room.pages:
            async with self._changing:
                self._reserve(room)
        try:
            yield room
        finally:
            self._unreserve(room)

    async def hold(self, ref: DocumentRef, holding: DocumentHolding, room: PinRoom) -> None:
        """Bring all of ``holding`` into memory and keep it there, before the version is visible and its pin is on
        disk.

        Raises CannotFit and the errors of ``LocalBackend.pin``, so that the publish as a whole is refused; nothing is
        held then, until ``undo_hold``.

        Example:
            ``await pins.hold(ref, DocumentHolding(scope, framings), room)``
        """
        async with self._changing:
            others = self._reserved - room.reserved
            if room.replaced is not None and room.pages > self._local.pin_room() - others:
                room.unpinned = room.replaced in self._held
                await self._unhold(room.replaced)
            await self._hold(ref, holding)
            self._unreserve(room)

    async def undo_hold(self, ref: DocumentRef, room: PinRoom) -> None:
        """Undo ``hold`` for a version that was not made visible, and pin the replaced version again."""
        await self._unhold(ref)
        if room.unpinned and room.replaced is not None:
            await self._hold_again(room.replaced)

    async def follow_publish(self, before: DocumentRef | None, after: DocumentRef | None) -> None:
        """Follow the registry after a publish: ``after`` is pinned, and ``before`` no more."""
        if after is not None:
            self._wanted.add(after)
        if before is not None:
            await self.drop([before])

    async def pin(self, ref: DocumentRef, room: PinRoom) -> None:
        """Bring every framing of a published version into memory and keep it there, also after a restart.

        Raises CannotFit and the errors of ``LocalBackend.pin``; nothing is pinned then.
        """
        await self.hold(ref, self._holdings.get(ref), room)
        try:
            await asyncio.to_thread(self._registry.pin, ref, True)
        except BaseException:
            await self._unhold(ref)
            raise
        self._wanted.add(ref)

    async def unpin(self, ref: DocumentRef) -> None:
        """Give a version's memory back; durable on return. A version without a pin is no error."""
        if ref in self._wanted:
            await asyncio.to_thread(self._registry.pin, ref, False)
            await self.drop([ref])

    async def drop(self, refs: Sequence[DocumentRef]) -> None:
        """Unpin deleted versions; the registry has already dropped its rows of their pins."""
        for ref in refs:
            self._wanted.discard(ref)
            await self._unhold(ref)

    async def pin_again(self, ref: DocumentRef) -> None:
        """Pin the recomputed pages of a pinned version in place of the old ones.

        A version that cannot be pinned is logged, and is served all the same.
        """
        if ref in self._wanted:
            await self._hold_again(ref)

    def remember(self, ref: DocumentRef) -> None:
        """Note a version that was pinned when the last process ended; ``restore`` brings it back."""
        self._wanted.add(ref)

    async def restore(self, fit: Callable[[DocumentRef], bool]) -> None:
        """Pin again the versions that were pinned when the last process ended and that are ``fit``."""
        for ref in sorted(self._wanted - self._held.keys(), key=str):
            if fit(ref) and await self._hold_again(ref):
                logger.info("%s is pinned again", ref)

    async def _hold_again(self, ref: DocumentRef) -> bool:
        """Replace the pins of a version, and return whether it is held now. Failures are logged."""
        async with self._changing:
            await self._unhold(ref)
            try:
                await self._hold(ref, self._holdings.get(ref))
            except KVProxyError as e:
                logger.warning("%s is not pinned and is served unpinned: %s", ref, e.message)
                return False
            return True

    async def _hold(self, ref: DocumentRef, holding: DocumentHolding) -> None:
        held = self._held[ref] = []
        try:
            for framing in holding.framings:
                held.append(await self._local.pin(framing.kept, holding.scope))
        except BaseException:
            await self._unhold(ref)
            raise

    async def _unhold(self, ref: DocumentRef) -> None:
        for release in self._held.pop(ref, []):
            await release()

    def _reserve(self, room: PinRoom) -> None:
        given = 0
        if room.replaced is not None and room.replaced in self._held:
            given = sum(len(framing.kept.pages) for framing in self._holdings.get(room.replaced).framings)
        left = max(0, self._local.pin_room() - self._reserved + given)
        if room.pages > left:
            raise CannotFit(
                f"Pinning this document would take {room.pages} pages of KV, and documents may pin {left} more. "
                "Publish it unpinned, unpin another document, or raise engine.page_budget.",
                param="pinned",
            )
        room.reserved = max(0, room.pages - given)
        self._reserved += room.reserved

    def _unreserve(self, room: PinRoom) -> None:
        """Give back the reservation: its pages are pinned now, or not needed any more."""
        self._reserved -= room.reserved
        room.reserved = 0

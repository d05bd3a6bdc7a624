"""`Pins`: pins published documents in memory, within each tenant's budget and the engine's."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kvproxy.backends.base import LocalBackend
from kvproxy.core import DocumentRef
from kvproxy.documents.registry.registry import Registry
from kvproxy.errors import CannotFit
from kvproxy.publishing.held_pins import HeldPins
from kvproxy.publishing.holdings import DocumentHolding, Holdings
from kvproxy.publishing.pin_budget import PinReport

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class PinRoom:
    """Pages reserved for a version that is to be pinned, while it is computed. Only :class:`Pins` writes it."""

    pages: int
    owner: str
    """The publisher's scope, whose budget they count for."""
    replaced: DocumentRef | None
    """The version that gives its pin to the new one."""
    reserved: int = 0
    """The part of ``pages`` beyond those that the replaced version gives back."""
    unpinned: bool = False
    """True when the replaced version was unpinned to make this room."""


class Pins:
    """The pinned versions, and the pages reserved for versions being computed.

    Event loop only, under the document's lock. Only the publisher pins. A tenant's documents may pin ``share`` of the
    pages that all documents may; pages that its documents share count once, pages that it shares with other tenants
    count for each of them, so that no budget tells what others have pinned.

    Example:
        ``async with pins.reserve([3000], None, owner=scope) as room: await pins.pin(ref, room)``
    """

    def __init__(
        self,
        registry: Registry,
        local: LocalBackend,
        holdings: Holdings,
        share: Callable[[], float] = lambda: 1.0,
    ) -> None:
        """``share``: the part, 0 to 1, of the pages that may be pinned that one tenant may have now."""
        self._registry = registry
        self._local = local
        self._holdings = holdings
        self._wanted: dict[DocumentRef, str] = {}
        """The versions that are to be pinned, with their publishers' scopes."""
        self._held = HeldPins(local, holdings, share)
        self._reserved: Counter[str] = Counter()
        """Pages reserved for versions that are being computed, by their publishers' scopes."""
        self._changing = asyncio.Lock()
        """Held while the room left is read and while pages are pinned one by one, so that no two pins count the
        same room."""

    def __contains__(self, ref: object) -> bool:
        return ref in self._wanted

    def holds(self, ref: DocumentRef) -> bool:
        """Return whether all its pages are pinned now. False after a restart until they are restored."""
        held = self._held.get(ref)
        return held is not None and held.whole

    @asynccontextmanager
    async def reserve(
        self, lengths: Iterable[int], replaced: DocumentRef | None, *, owner: str
    ) -> AsyncIterator[PinRoom]:
        """Reserve pages for prefixes of ``lengths`` tokens within the block; ``replaced`` will give its place.

        Pages not pinned when the block ends are given back. Raises CannotFit.

        Example:
            ``async with pins.reserve([3000, 3010], None, owner=caller.scope) as room: ...``
        """
        size = self._local.info.page_tokens
        room = PinRoom(sum(-(-tokens // size) for tokens in lengths), owner, replaced)
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
            ``await pins.hold(ref, DocumentHolding(scope, framings, owner), room)``
        """
        async with self._changing:
            others = self._reserved.total() - room.reserved
            if room.replaced is not None and room.pages > self._local.pin_room() - others:
                room.unpinned = room.replaced in self._held
                await self._held.release(room.replaced)
            await self._held.take_all(ref, room.owner, holding)
            self._unreserve(room)

    async def undo_hold(self, ref: DocumentRef, room: PinRoom) -> None:
        """Undo ``hold`` for a version that was not made visible, and pin the replaced version again."""
        await self._held.release(ref)
        if room.unpinned and room.replaced is not None:
            await self._hold_again(room.replaced, room.owner)

    async def follow_publish(self, before: DocumentRef | None, after: DocumentRef | None, owner: str) -> None:
        """Follow the registry after a publish: ``after`` is pinned, and ``before`` no more.

        Example:
            ``await pins.follow_publish(DocumentRef("handbook", 2), DocumentRef("handbook", 3), caller.scope)``
        """
        if after is not None:
            self._wanted[after] = owner
        if before is not None:
            await self.drop([before])

    async def pin(self, ref: DocumentRef, room: PinRoom) -> None:
        """Bring every framing of a published version into memory and keep it there, also after a restart.

        Raises CannotFit and the errors of ``LocalBackend.pin``; what was pinned of it before stays.
        """
        await self.hold(ref, self._holdings.get(ref), room)
        await self._record(ref, room.owner)

    async def pin_what_fits(self, ref: DocumentRef, owner: str) -> PinReport:
        """Pin the first pages of each framing, as many as the budgets leave; durable on return.

        Nothing at all is pinned, and the version not marked, where there is room for no page.

        Example:
            ``report = await pins.pin_what_fits(DocumentRef("handbook", 3), caller.scope)``
        """
        async with self._changing:
            held = await self._held.take_what_fits(ref, owner, self._reserved)
        if held.pages:
            await self._record(ref, owner)
        return self._held.report(ref, owner, self._held.allowance(owner, self._reserved), held)

    async def unpin(self, ref: DocumentRef) -> None:
        """Give a version's memory back; durable on return. A version without a pin is no error."""
        if ref in self._wanted:
            await asyncio.to_thread(self._registry.pin, ref, False)
            await self.drop([ref])

    async def drop(self, refs: Sequence[DocumentRef]) -> None:
        """Unpin deleted versions; the registry has already dropped its rows of their pins."""
        for ref in refs:
            self._wanted.pop(ref, None)
            await self._held.release(ref)

    async def pin_again(self, ref: DocumentRef) -> None:
        """Pin the recomputed pages of a pinned version in place of the old ones.

        A version that cannot be pinned is logged, and is served all the same.
        """
        if ref in self._wanted:
            await self._hold_again(ref, self._wanted[ref])

    def remember(self, ref: DocumentRef, owner: str) -> None:
        """Note a version that was pinned when the last process ended; ``restore`` brings it back."""
        self._wanted[ref] = owner

    async def restore(self, fit: Callable[[DocumentRef], bool]) -> None:
        """Pin again the versions that were pinned when the last process ended and that are ``fit``."""
        for ref in sorted(self._wanted.keys() - set(self._held), key=str):
            if fit(ref) and await self._hold_again(ref, self._wanted[ref]):
                logger.info("%s is pinned again", ref)

    def report(self, ref: DocumentRef, owner: str) -> PinReport:
        """Return the pins of a version as they are."""
        return self._held.report(ref, owner, self._held.allowance(owner, self._reserved))

    async def _hold_again(self, ref: DocumentRef, owner: str) -> bool:
        """Replace the pins of a version, in part where there is no room for all, and return whether all of it is
        held now. Failures are logged."""
        async with self._changing:
            await self._held.release(ref)
            held = await self._held.take_what_fits(ref, owner, self._reserved)
            if held.whole:
                return True
            limits = ", ".join(sorted({framing.limit for framing in held.framings if framing.limit}))
            logger.warning(
                "%s is not pinned as a whole and is served all the same: %d of its %d pages, because of %s",
                ref,
                sum(framing.pinned for framing in held.framings),
                sum(framing.asked for framing in held.framings),
                limits,
            )
            return False

    async def _record(self, ref: DocumentRef, owner: str) -> None:
        """Write down that a version that is held is pinned."""
        try:
            await asyncio.to_thread(self._registry.pin, ref, True)
        except BaseException:
            if ref not in self._wanted:
                await self._held.release(ref)
            raise
        self._wanted[ref] = owner

    def _reserve(self, room: PinRoom) -> None:
        replaced = None if room.replaced is None else self._held.get(room.replaced)
        given = 0 if replaced is None else len(replaced.pages)
        left = self._held.allowance(room.owner, self._reserved)
        everybody, tenant = max(0, left.everybody + given), max(0, left.tenant + given)
        if room.pages > everybody:
            raise CannotFit(
                f"Pinning this document would take {room.pages} pages of KV, and documents may pin {everybody} more. "
                "Publish it unpinned, pin a part of it, unpin another document, or raise engine.page_budget.",
                param="pinned",
            )
        if room.pages > tenant:
            raise CannotFit(
                f"Pinning this document would take {room.pages} pages of KV, and your documents may pin {tenant} more "
                f"of the {self._held.budget} that one tenant may pin (documents.pin_share). Publish it unpinned, pin a "
                "part of it, or unpin another document.",
                param="pinned",
            )
        room.reserved = max(0, room.pages - given)
        self._reserved[room.owner] += room.reserved

    def _unreserve(self, room: PinRoom) -> None:
        """Give back the reservation: its pages are pinned now, or not needed any more."""
        self._reserved[room.owner] -= room.reserved
        room.reserved = 0
        if not self._reserved[room.owner]:
            del self._reserved[room.owner]

"""`HeldPins`: the pins in the engine of each document version, and the pages that each tenant's documents pin."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from kvproxy.backends.base import LocalBackend
from kvproxy.core import DocumentRef
from kvproxy.errors import CannotFit, KVProxyError
from kvproxy.publishing.holdings import DocumentHolding, Holdings
from kvproxy.publishing.pin_budget import (
    FramingPin,
    PinAllowance,
    PinLimit,
    PinnedPage,
    PinReport,
    PlannedPin,
    pages_of,
    plan_pins,
)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class HeldPin:
    """The pins of one version in the engine. Only :class:`HeldPins` writes it."""

    owner: str
    pages: set[PinnedPage] = field(default_factory=set)
    framings: list[FramingPin] = field(default_factory=list)
    releases: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether all its pages are pinned."""
        return all(framing.limit is None for framing in self.framings)


class HeldPins:
    """Takes and releases pins of versions, one at a time: its caller holds a lock.

    Example:
        ``await held.take_all(ref, owner, holdings.get(ref))``
    """

    def __init__(self, local: LocalBackend, holdings: Holdings, share: Callable[[], float]) -> None:
        """``share``: the part, 0 to 1, of the pages that may be pinned that one tenant may have now."""
        self._local, self._holdings, self._share = local, holdings, share
        self._held: dict[DocumentRef, HeldPin] = {}

    def __contains__(self, ref: object) -> bool:
        return ref in self._held

    def __iter__(self) -> Iterator[DocumentRef]:
        return iter(tuple(self._held))

    def get(self, ref: DocumentRef) -> HeldPin | None:
        """Return the pins of a version; None where it has none."""
        return self._held.get(ref)

    @property
    def budget(self) -> int:
        """The pages that one tenant may pin in all."""
        return int(self._local.most_pinned * self._share())

    def allowance(
        self, owner: str, reserved: Counter[str], already: AbstractSet[PinnedPage] | None = None
    ) -> PinAllowance:
        """Return the pages that a tenant may still pin. ``reserved``: pages set aside by owner; ``already``: the pages
        that its documents pin, if known.

        Example: ``held.allowance(caller.scope, Counter())``
        """
        already = self.pages(owner) if already is None else already
        return PinAllowance(
            tenant=self.budget - len(already) - reserved[owner],
            everybody=self._local.pin_room() - reserved.total(),
        )

    def pages(self, owner: str) -> set[PinnedPage]:
        """Return the pages that the documents of one tenant pin."""
        held = (held.pages for held in self._held.values() if held.owner == owner)
        return set[PinnedPage]().union(*held)

    def report(
        self, ref: DocumentRef, owner: str, left: PinAllowance, pin: HeldPin | None = None
    ) -> PinReport:
        """Return the pins of a version: those of ``pin``, or those that it has now.

        Example: ``held.report(ref, owner, held.allowance(owner, Counter()))``
        """
        held = pin or self._held.get(ref) or HeldPin(owner)
        holding = self._holdings.get(ref)
        asked = frozenset[PinnedPage]().union(*(pages_of(holding.scope, f.kept) for f in holding.framings))
        framings = held.framings or [FramingPin(f.framing, len(f.kept.pages), 0) for f in holding.framings]
        return PinReport(str(ref), tuple(framings), len(asked), len(held.pages), left.pages, self.budget)

    async def take_all(self, ref: DocumentRef, owner: str, holding: DocumentHolding) -> None:
        """Pin all of ``holding``, in the place of what is pinned of it; on an error that stays.

        Raises CannotFit and the errors of ``LocalBackend.pin``.

        Example: ``await held.take_all(ref, owner, holdings.get(ref))``
        """
        before = self._held.pop(ref, None)
        held = self._held[ref] = HeldPin(owner)
        try:
            for part in _whole(holding):
                await self._take(held, part, holding.scope)
        except BaseException:
            await self.release(ref)
            if before is not None:
                self._held[ref] = before
            raise
        await _release(before)

    async def take_what_fits(self, ref: DocumentRef, owner: str, reserved: Counter[str]) -> HeldPin:
        """Pin as much of a version as the budgets leave, in the place of what is pinned of it. Return the pins: a
        version without any is not held.

        Example: ``pin = await held.take_what_fits(ref, owner, Counter())``
        """
        holding = self._holdings.get(ref)
        before = self._held.pop(ref, None)
        already = self.pages(owner) | (before.pages if before is not None else set())
        held = self._held[ref] = HeldPin(owner)
        for planned in plan_pins(holding, self.allowance(owner, reserved, already), already):
            try:
                await self._take(held, planned, holding.scope)
            except KVProxyError as e:
                logger.warning("%s (%s) is not pinned: %s", ref, planned.pin.framing, e.message)
                limit = PinLimit.PIN_BUDGET if isinstance(e, CannotFit) else PinLimit.BUSY
                held.framings.append(replace(planned.pin, pinned=0, limit=limit))
        await _release(before)
        if not held.releases:
            del self._held[ref]
        return held

    async def release(self, ref: DocumentRef) -> None:
        """Release all pins of a version; without any it is no error."""
        await _release(self._held.pop(ref, None))

    async def _take(self, held: HeldPin, planned: PlannedPin, scope: str) -> None:
        # A prefix without pages is a fleet's, which keeps it as far as it can.
        if planned.pin.pinned or not planned.pin.asked:
            held.releases.append(await self._local.pin(planned.kept, scope, held.owner))
            held.pages |= pages_of(scope, planned.kept)
        held.framings.append(planned.pin)


def _whole(holding: DocumentHolding) -> Iterable[PlannedPin]:
    for framing in holding.framings:
        pages = len(framing.kept.pages)
        yield PlannedPin(FramingPin(framing.framing, pages, pages), framing.kept)


async def _release(held: HeldPin | None) -> None:
    for release in held.releases if held is not None else ():
        await release()

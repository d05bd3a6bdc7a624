"""`plan_pins`: the pages of a document that may be pinned, within its tenant's budget and that of all tenants. Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum

from kvproxy.core import Kept
from kvproxy.publishing.holdings import DocumentHolding

PinnedPage = tuple[str, bytes]
"""The scope and the key of a page that is pinned."""


class PinLimit(StrEnum):
    """The reason that pages of a document are not pinned: a closed list."""

    TENANT_BUDGET = "tenant-budget"
    """The tenant's documents pin as many pages as they may: ``documents.pin_share``."""
    PIN_BUDGET = "pin-budget"
    """The documents of all tenants pin as many pages as they may: half of ``engine.page_budget``."""
    BUSY = "busy"
    """Requests that run now have reserved the memory."""


@dataclass(frozen=True, slots=True)
class PinAllowance:
    """Pages that may still be pinned, by one tenant and by all of them."""

    tenant: int
    everybody: int

    @property
    def pages(self) -> int:
        """The smaller of the two, at least 0."""
        return max(0, min(self.tenant, self.everybody))

    @property
    def limit(self) -> PinLimit:
        """The budget that ends first."""
        return PinLimit.TENANT_BUDGET if self.tenant < self.everybody else PinLimit.PIN_BUDGET


@dataclass(frozen=True, slots=True)
class FramingPin:
    """The pins of one framing: the first ``pinned`` of ``asked`` pages, and the reason why not all of them."""

    framing: str
    asked: int
    pinned: int
    limit: PinLimit | None = None
    """None where all are pinned."""


@dataclass(frozen=True, slots=True)
class PinReport:
    """The pins of a document version after a change of them. Pages that framings share count once."""

    document: str
    framings: tuple[FramingPin, ...]
    asked: int
    pinned: int
    room: int
    """Pages that this tenant may still pin."""
    budget: int
    """Pages that this tenant may pin in all."""

    @property
    def limit(self) -> PinLimit | None:
        """The first reason that a page is not pinned; None where all are."""
        return next((f.limit for f in self.framings if f.limit is not None), None)


@dataclass(frozen=True, slots=True)
class PlannedPin:
    """The part of one framing that is to be pinned."""

    pin: FramingPin
    kept: Kept
    """Its pinned beginning: whole pages, or all of it."""


def plan_pins(
    holding: DocumentHolding, allowance: PinAllowance, already: AbstractSet[PinnedPage]
) -> tuple[PlannedPin, ...]:
    """Return the beginning of each framing that may be pinned, the framings in their order.

    ``already``: pages that the tenant has pinned; they cost nothing more. A page is of no use without those before
    it, so that each framing gets its first pages.

    Example: ``plan_pins(holding, PinAllowance(tenant=12, everybody=40), frozenset())``
    """
    held = set(already)
    left = allowance.pages
    planned: list[PlannedPin] = []
    for framing in holding.framings:
        pages = framing.kept.pages
        number = 0
        for page in pages:
            entry = (holding.scope, page.key)
            if entry not in held:
                if not left:
                    break
                left -= 1
                held.add(entry)
            number += 1
        limit = None if number == len(pages) else allowance.limit
        pin = FramingPin(framing.framing, len(pages), number, limit)
        planned.append(PlannedPin(pin, beginning(framing.kept, number)))
    return tuple(planned)


def beginning(kept: Kept, pages: int) -> Kept:
    """Return the record of the first ``pages`` pages of a prefix."""
    if pages == len(kept.pages):
        return kept
    some = kept.pages[:pages]
    return replace(kept, pages=some, token_ids=kept.token_ids[: sum(page.tokens for page in some)])


def pages_of(scope: str, kept: Kept) -> frozenset[PinnedPage]:
    """Return the pages of a prefix under its scope."""
    return frozenset((scope, page.key) for page in kept.pages)

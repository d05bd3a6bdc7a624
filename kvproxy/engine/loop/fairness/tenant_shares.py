"""Tenants' shares of the engine: of places in it, of pages, and of the rows of a step. Pure: takes sequences, returns
values.

A share is a part of all, divided by the tenants that have a sequence here, running or waiting. Nothing is kept free
for those who do not want it. Who has less of what it has most of comes first (dominant resource fairness, Ghodsi et al.
2011), and a tenant that is below its share need not wait until others end: the newest sequences of the one that is
most above its own give way. The oldest of each tenant never does, so that every tenant gets on and every sequence ends:
one that gave way is, once those before it have ended, the oldest.

Sequences whose job runs for nobody (``Sequence.tenant`` is None) have no share; they end where anybody needs their
place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kvproxy.engine.loop.sequence import Phase, Sequence

Tenant = str | None

_MAY_GIVE_WAY = (Phase.FOLLOWING, Phase.PREFILL, Phase.DECODE)
"""A sequence whose pages are being read or written ends that first."""


@dataclass(frozen=True, slots=True)
class TenantHolding:
    places: int = 0
    pages: int = 0
    """Without those that were taken from the cache, which others may be using too."""


_NOTHING = TenantHolding()


@dataclass(frozen=True, slots=True)
class TenantShares:
    """What each tenant holds at one moment, beside what each may have. ``places``, ``pages``: of the engine."""

    places: int
    pages: int
    running: tuple[Sequence, ...]
    tenants: frozenset[str]
    """That have a sequence, running or waiting."""
    held: dict[Tenant, TenantHolding]

    @staticmethod
    def of(
        running: Iterable[Sequence], waiting: Iterable[Sequence], *, places: int, pages: int
    ) -> TenantShares:
        running = tuple(running)
        held: dict[Tenant, TenantHolding] = {}
        for s in running:
            has = held.get(s.tenant, _NOTHING)
            held[s.tenant] = TenantHolding(has.places + 1, has.pages + s.own_pages)
        return TenantShares(places, pages, running, tenants_of(running) | tenants_of(waiting), held)

    def holding(self, tenant: Tenant) -> TenantHolding:
        return self.held.get(tenant, _NOTHING)

    def dominant(self, tenant: Tenant) -> float:
        """The larger one of the parts of all places and of all pages that a tenant holds."""
        has = self.holding(tenant)
        return max(has.places / self.places, has.pages / self.pages)

    @property
    def share_of_places(self) -> int:
        return max(1, self.places // max(1, len(self.tenants)))

    @property
    def share_of_pages(self) -> int:
        return self.pages // max(1, len(self.tenants))

    def entitled(self, seq: Sequence, pages: int) -> bool:
        """Whether ``seq`` with so many pages of its own is within its tenant's share; the first one always is."""
        has = self.holding(seq.tenant)
        if seq.tenant is None or has.places == 0:
            return seq.tenant is not None
        return has.places + 1 <= self.share_of_places and has.pages + pages <= self.share_of_pages

    def place_giver(self, seq: Sequence) -> Sequence | None:
        """The sequence that gives its place to ``seq``, which waits while all are taken. None where its tenant has its
        share, or nobody has more than that."""
        if seq.tenant is None or self.holding(seq.tenant).places + 1 > self.share_of_places:
            return None
        over = {t: h.places for t, h in self.held.items() if h.places > self.share_of_places}
        return next((s for t in _most_first(over) for s in self._newest_first(t)), None)

    def page_givers(self, seq: Sequence, needed: int, short: int) -> list[Sequence]:
        """Sequences that give their pages to ``seq``, which waits for ``needed`` and lacks ``short`` of them. None of
        them when ``seq`` is not entitled to so many, or all together would not be enough."""
        if not self.entitled(seq, needed):
            return []
        over = {t: h.pages for t, h in self.held.items() if h.pages > self.share_of_pages and t != seq.tenant}
        givers: list[Sequence] = []
        for tenant in _most_first(over):
            left = over[tenant]
            for giver in self._newest_first(tenant):
                if short <= 0 or left <= self.share_of_pages:
                    break
                givers.append(giver)
                left -= giver.own_pages
                short -= giver.own_pages
        return givers if short <= 0 else []

    def outgrown(self, seq: Sequence) -> Sequence | None:
        """The sequence that gives its pages to ``seq``, a stream that has no room to grow: the newest of the tenant
        that is most above its share, which may be ``seq`` itself. None where only one tenant runs, or nobody is above
        its share with more than its oldest: then age alone decides."""
        if seq.tenant is None or len(self.tenants) < 2:
            return None
        over = {t: h.pages for t, h in self.held.items() if h.pages > self.share_of_pages}
        return next((s for t in _most_first(over) for s in self._newest_first(t) if s.own_pages), None)

    def _newest_first(self, tenant: Tenant) -> list[Sequence]:
        """Those of a tenant that may give way: all but its oldest."""
        ordered = sorted((s for s in self.running if s.tenant == tenant), key=lambda s: s.arrived_at)
        return [s for s in reversed(ordered[1:]) if s.phase in _MAY_GIVE_WAY]


def tenants_of(sequences: Iterable[Sequence]) -> frozenset[str]:
    return frozenset(s.tenant for s in sequences if s.tenant is not None)


def next_in_line(
    waiting: Iterable[Sequence], shares: TenantShares, had: Callable[[Tenant], float]
) -> Sequence | None:
    """The sequence to be admitted next: the first one of the tenant that holds least; among equals, of the one that
    had less compute (``had``), so that nobody's long line goes before another's first. Work of nobody comes last."""
    first: dict[Tenant, Sequence] = {}
    for seq in waiting:
        first.setdefault(seq.tenant, seq)
    return min(
        first.values(),
        key=lambda s: (s.tenant is None, shares.dominant(s.tenant), had(s.tenant), s.arrived_at),
        default=None,
    )


def _most_first(amounts: dict[Tenant, int]) -> list[Tenant]:
    return sorted((t for t in amounts if t is not None), key=lambda t: -amounts[t])

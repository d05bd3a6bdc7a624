"""Tenants' shares of the engine's places and pages. Pure: takes sequences, returns values.

A share is the whole divided by the tenants that have a sequence, running or waiting. Nothing is kept free for tenants
that do not ask for it. The tenant with the smallest dominant share comes first (dominant resource fairness, Ghodsi et
al. 2011), and a tenant below its share need not wait until other sequences end: the newest sequences of the tenant
that is most above its own share give way. The oldest of each tenant never does, so that every tenant makes progress and
every sequence ends: one that gave way is, once those before it have ended, the oldest.

Background sequences (``Sequence.tenant`` is None) have no share; they end when a tenant needs their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kvproxy.engine.loop.sequence import Phase, Sequence

Tenant = str | None

_MAY_GIVE_WAY = (Phase.FOLLOWING, Phase.PREFILL, Phase.DECODE)
"""A sequence finishes reading or writing its pages first."""


@dataclass(frozen=True, slots=True)
class TenantHolding:
    """The places and pages that one tenant holds."""

    places: int = 0
    pages: int = 0
    """Pages of its own, without those from the cache, which several tenants may share."""


_NOTHING = TenantHolding()


@dataclass(frozen=True, slots=True)
class TenantShares:
    """Holdings and shares of all tenants at one moment. ``places``, ``pages``: the engine's totals."""

    places: int
    pages: int
    running: tuple[Sequence, ...]
    tenants: frozenset[str]
    """Tenants that have a sequence, running or waiting."""
    held: dict[Tenant, TenantHolding]

    @staticmethod
    def of(
        running: Iterable[Sequence], waiting: Iterable[Sequence], *, places: int, pages: int
    ) -> TenantShares:
        """Count the holdings of each tenant.

        Example: ``TenantShares.of(running, waiting, places=64, pages=4096)``
        """
        running = tuple(running)
        held: dict[Tenant, TenantHolding] = {}
        for s in running:
            has = held.get(s.tenant, _NOTHING)
            held[s.tenant] = TenantHolding(has.places + 1, has.pages + s.own_pages)
        return TenantShares(places, pages, running, tenants_of(running) | tenants_of(waiting), held)

    def holding(self, tenant: Tenant) -> TenantHolding:
        """Return a tenant's holding, an empty one where it runs nothing."""
        return self.held.get(tenant, _NOTHING)

    def dominant(self, tenant: Tenant) -> float:
        """Return a tenant's dominant share: the larger one of its parts of all places and of all pages."""
        has = self.holding(tenant)
        return max(has.places / self.places, has.pages / self.pages)

    @property
    def share_of_places(self) -> int:
        """Places that each present tenant may have."""
        return max(1, self.places // max(1, len(self.tenants)))

    @property
    def share_of_pages(self) -> int:
        """Pages that each present tenant may have."""
        return self.pages // max(1, len(self.tenants))

    def entitled(self, seq: Sequence, pages: int) -> bool:
        """Return whether ``seq`` with ``pages`` of its own is within its tenant's share; a tenant's first one always
        is."""
        has = self.holding(seq.tenant)
        if seq.tenant is None or has.places == 0:
            return seq.tenant is not None
        return has.places + 1 <= self.share_of_places and has.pages + pages <= self.share_of_pages

    def place_giver(self, seq: Sequence) -> Sequence | None:
        """Return the sequence that gives its place to ``seq``, which waits while all are taken.

        None when its tenant has its share, or no tenant has more than that.
        """
        if seq.tenant is None or self.holding(seq.tenant).places + 1 > self.share_of_places:
            return None
        over = {t: h.places for t, h in self.held.items() if h.places > self.share_of_places}
        return next((s for t in _most_first(over) for s in self._newest_first(t)), None)

    def page_givers(self, seq: Sequence, needed: int, short: int) -> list[Sequence]:
        """Return sequences that give their pages to ``seq``, which waits for ``needed`` and lacks ``short`` of them.

        Empty when ``seq`` is not entitled to so many, or all of them together would not be enough.
        Example: ``shares.page_givers(seq, needed=20, short=5)``
        """
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
        """Return the sequence that gives its pages to ``seq``, a stream without room to grow: the newest of the tenant
        that is most above its share, which may be ``seq`` itself.

        None when only one tenant runs, or no tenant is above its share with more than its oldest sequence: then age
        alone decides.
        """
        if seq.tenant is None or len(self.tenants) < 2:
            return None
        over = {t: h.pages for t, h in self.held.items() if h.pages > self.share_of_pages}
        return next((s for t in _most_first(over) for s in self._newest_first(t) if s.own_pages), None)

    def _newest_first(self, tenant: Tenant) -> list[Sequence]:
        """Return a tenant's sequences that may give way: all but its oldest."""
        ordered = sorted((s for s in self.running if s.tenant == tenant), key=lambda s: s.arrived_at)
        return [s for s in reversed(ordered[1:]) if s.phase in _MAY_GIVE_WAY]


def tenants_of(sequences: Iterable[Sequence]) -> frozenset[str]:
    """Return the tenants of ``sequences``, without background work."""
    return frozenset(s.tenant for s in sequences if s.tenant is not None)


def next_in_line(
    waiting: Iterable[Sequence], shares: TenantShares, used_s: Callable[[Tenant], float]
) -> Sequence | None:
    """Return the sequence to be admitted next: the first one of the tenant with the smallest dominant share.

    Among equal shares it is the tenant that used less compute (``used_s``: seconds by tenant), so that one tenant's
    long queue does not precede another tenant's first request. Background work comes last.
    Example: ``next_in_line(waiting, shares, service.used_s)``
    """
    first: dict[Tenant, Sequence] = {}
    for seq in waiting:
        first.setdefault(seq.tenant, seq)
    return min(
        first.values(),
        key=lambda s: (s.tenant is None, shares.dominant(s.tenant), used_s(s.tenant), s.arrived_at),
        default=None,
    )


def _most_first(amounts: dict[Tenant, int]) -> list[Tenant]:
    return sorted((t for t in amounts if t is not None), key=lambda t: -amounts[t])

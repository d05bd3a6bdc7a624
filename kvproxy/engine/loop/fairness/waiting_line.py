"""Sequences that wait to be admitted, and who gives way to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from kvproxy.core import MissReason
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.loop.admission import Admission
from kvproxy.engine.loop.fairness.compute_service import Service
from kvproxy.engine.loop.fairness.tenant_shares import TenantShares, next_in_line, tenants_of
from kvproxy.engine.loop.isolation import isolated
from kvproxy.engine.loop.sequence import Phase, Sequence
from kvproxy.errors import HitLost, KVProxyError, Overloaded


@dataclass(slots=True)
class Line:
    """Engine thread only. The callbacks are the engine's: each leaves ``running`` and ``waiting`` as they should be."""

    cache: KVCache
    admission: Admission
    service: Service
    running: list[Sequence]
    """The engine's own list, which admission adds to."""
    places: int
    """Sequences that may run together."""
    end: Callable[[Sequence, KVProxyError], None]
    give_way: Callable[[Sequence], None]
    """Takes a sequence's place and pages back and lets it wait."""
    waiting: list[Sequence] = field(default_factory=list)
    """In the order in which each tenant's own are admitted."""

    def admit(self) -> None:
        """Admit all that may run now, by tenants: ``next_in_line``.

        Where pages are short, all wait for the one that is next, as long as that is within its tenant's share:
        otherwise whoever needs many pages would never get them. One that is not lets other tenants pass.
        """
        self.service.meet(tenants_of([*self.running, *self.waiting]))
        left = list(self.waiting)
        while left:
            shares = self.shares()
            seq = next_in_line(left, shares, self.service.had)
            assert seq is not None
            giver: Sequence | None = None
            if len(self.running) >= self.places and not self.make_room(seq):
                giver = shares.place_giver(seq)
                if giver is None:
                    break
            admitted = False
            with isolated(seq, self.end):
                admitted = self.admission.try_admit(seq, self.running)
            if seq.phase is Phase.ENDED:
                left.remove(seq)
                continue
            if admitted:
                left.remove(seq)
                self.waiting.remove(seq)
                self.running.append(seq)
                if giver is not None:
                    self.give_way(giver)  # only now: a place is of no use without the pages
            elif self._take_pages(seq):
                continue
            elif not self.running or seq.job.patience_s > 0:
                # Nobody runs who could give pages back; one behind it may hold what it lacks.
                left.remove(seq)
            elif shares.entitled(seq, seq.needed):
                return
            else:
                left = [s for s in left if s.tenant != seq.tenant]
        if self.waiting and not self.running:
            self._give_up_a_hit()

    def shares(self) -> TenantShares:
        """As they are now."""
        return TenantShares.of(self.running, self.waiting, places=self.places, pages=self.cache.pool.total)

    def make_room(self, seq: Sequence) -> bool:
        """End the newest of those that run for nobody, where ``seq`` waits for its place or its pages."""
        if seq.job.patience_s == inf:
            return False
        idlers = [s for s in self.running if s.job.patience_s == inf]
        if idlers:
            self.end(idlers[-1], Overloaded("it gave way to a request", retry_after_s=1))
        return bool(idlers)

    def back(self, seq: Sequence) -> None:
        """One that ran waits again, before all that came after it."""
        before = sum(1 for s in self.waiting if s.arrived_at < seq.arrived_at)
        self.waiting.insert(before, seq)

    def _take_pages(self, seq: Sequence) -> bool:
        """Have others give pages back that ``seq`` has just asked for in vain."""
        if self.make_room(seq):
            return True
        seen = self.cache.occupancy()
        short = seq.needed - (seen.free + seen.evictable - sum(s.reserved for s in self.running))
        givers = self.shares().page_givers(seq, seq.needed, short)
        for giver in givers:
            self.give_way(giver)
        return bool(givers)

    def _give_up_a_hit(self) -> None:
        """Waiting hits have their pages held by whoever asked, and all pages may be held like that, so that nobody
        gets the one that is needed. The newest hit is told that it is lost; as a miss it holds nothing."""
        for seq in reversed(self.waiting):
            if seq.required:
                self.end(
                    seq, HitLost("its pages are needed to serve anybody at all", MissReason.NOT_RESIDENT)
                )
                return

"""The waiting line: admits sequences by tenants' shares, and lets running ones give way to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from kvproxy.core import MissReason
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.loop.admission import Admission
from kvproxy.engine.loop.fairness.compute_service import ComputeService
from kvproxy.engine.loop.fairness.tenant_shares import TenantShares, next_in_line, tenants_of
from kvproxy.engine.loop.isolation import isolated
from kvproxy.engine.loop.sequence import Phase, Sequence
from kvproxy.errors import HitLost, KVProxyError, Overloaded


@dataclass(slots=True)
class WaitingLine:
    """Waiting sequences and their admission. Engine thread only.

    The callbacks are the engine's: each updates ``running`` and ``waiting``.
    """

    cache: KVCache
    admission: Admission
    service: ComputeService
    running: list[Sequence]
    """The engine's list of running sequences, which :meth:`admit` adds to."""
    places: int
    """Sequences that may run at a time."""
    end: Callable[[Sequence, KVProxyError], None]
    give_way: Callable[[Sequence], None]
    """Takes a running sequence's place and pages back and makes it wait."""
    waiting: list[Sequence] = field(default_factory=list)
    """Each tenant's sequences are in the order of their admission."""

    def admit(self) -> None:
        """Admit all sequences that may run now, in the order of ``next_in_line``.

        When pages are short, all wait for the next one, as long as that is within its tenant's share: otherwise a
        sequence that needs many pages would never get them. One beyond the share lets other tenants pass.
        """
        self.service.set_tenants(tenants_of([*self.running, *self.waiting]))
        left = list(self.waiting)
        while left:
            shares = self.shares()
            seq = next_in_line(left, shares, self.service.used_s)
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
                    self.give_way(giver)  # Only now: a place is of no use without the pages.
            elif self._take_pages(seq):
                continue
            elif not self.running or seq.job.patience_s > 0:
                # No running sequence could give pages back; one behind it may hold the pages that it lacks.
                left.remove(seq)
            elif shares.entitled(seq, seq.needed):
                return
            else:
                left = [s for s in left if s.tenant != seq.tenant]
        if self.waiting and not self.running:
            self._give_up_a_hit()

    def shares(self) -> TenantShares:
        """Return the tenants' shares as they are now."""
        return TenantShares.of(self.running, self.waiting, places=self.places, pages=self.cache.pool.total)

    def make_room(self, seq: Sequence) -> bool:
        """End the newest background sequence, since ``seq`` waits for its place or its pages. False without one."""
        if seq.job.patience_s == inf:
            return False
        idlers = [s for s in self.running if s.job.patience_s == inf]
        if idlers:
            self.end(
                idlers[-1],
                Overloaded("background work gave way to a request; try again in a moment", retry_after_s=1),
            )
        return bool(idlers)

    def requeue(self, seq: Sequence) -> None:
        """Put a sequence that ran back into the line, before all that arrived after it."""
        before = sum(1 for s in self.waiting if s.arrived_at < seq.arrived_at)
        self.waiting.insert(before, seq)

    def wake_followers(self, register: Callable[[Sequence], object]) -> None:
        """Put sequences whose leader has computed their common prefix back at the front of the line.

        ``register`` makes the pages of a leader that still computes findable, its last partial one too.

        Example: ``line.wake_followers(lambda leader: results.register(leader, partial=True))``
        """
        for seq in [s for s in self.running if s.phase is Phase.FOLLOWING]:
            if self.admission.leader_done(seq):
                leader = seq.following
                if leader is not None and leader.phase is Phase.PREFILL:
                    with isolated(leader, self.end):
                        register(leader)
                seq.following, seq.collapsed, seq.phase = None, True, Phase.WAITING
                self.running.remove(seq)
                self.waiting.insert(0, seq)

    def _take_pages(self, seq: Sequence) -> bool:
        """Make running sequences give back pages that ``seq`` has just asked for in vain. False when none do."""
        if self.make_room(seq):
            return True
        seen = self.cache.occupancy()
        short = seq.needed - (seen.free + seen.evictable - sum(s.reserved for s in self.running))
        givers = self.shares().page_givers(seq, seq.needed, short)
        for giver in givers:
            self.give_way(giver)
        return bool(givers)

    def _give_up_a_hit(self) -> None:
        """End the newest waiting hit as lost, since the pages that are held for waiting hits may be all there are.

        Each hit's pages are held by its caller until it is admitted; as a miss it holds none.
        """
        for seq in reversed(self.waiting):
            if seq.required:
                self.end(
                    seq, HitLost("its pages are needed to serve any request at all", MissReason.NOT_RESIDENT)
                )
                return

"""`OpenHolds`: what this process may give to requests and has given. In memory; a hold takes microseconds."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from kvproxy.ledger.bookings import Booking, HoldRequest
from kvproxy.ledger.budget_windows import (
    NOTHING,
    BudgetBook,
    BudgetWindow,
    Used,
    WindowUse,
    used_by,
    window_of,
    windows_of,
)

UNLIMITED_S = 5.0
"""Seconds for which "without limit" is believed, before the tenant's credit is read again."""


class Lacking(Enum):
    """The reason why a hold could not be made from memory alone."""

    NOTHING = "nothing: the hold is made"
    LEASE = "the lease is too small"
    BUDGET = "a budget's use has to be read"
    JOURNAL = "the journal has no room for its record"
    BEAT = "the process has to show that it is alive"


@dataclass(frozen=True, slots=True)
class SettledRequest:
    """A settled request, with the watched windows that it was counted in."""

    booking: Booking
    windows: tuple[BudgetWindow, ...]


@dataclass(slots=True)
class Purse:
    """One tenant's lease in this process, in nano-units. ``leased`` is what the database's row says."""

    leased: int = 0
    held: int = 0
    unbooked: int = 0
    """Settled and not yet booked: still a part of ``leased``, and of the balance."""
    unlimited_until: float = 0.0
    used_at: float = -math.inf
    """``time.monotonic()`` of the last hold. Its zero is the machine's start, so that zero is not "long ago"."""

    @property
    def free(self) -> int:
        """The part that no request has."""
        return self.leased - self.held - self.unbooked


@dataclass(slots=True)
class OpenHolds:
    """The purses and budgets of this process. Safe from several threads: no lock is held across a wait.

    Invariant: a purse's ``leased`` is set by the thread that writes the database alone, to what a committed row says,
    so that ``held + unbooked`` of a tenant without unlimited credit never exceed what the database has set aside.
    """

    valid_s: float
    """Seconds after the last beat for which leases may be used; other processes wait longer before they take them."""
    purses: dict[str, Purse] = field(default_factory=dict)
    budgets: BudgetBook = field(default_factory=BudgetBook)
    beat_at: float = -math.inf
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: HoldRequest, now_ms: int) -> Lacking:
        """Hold ``request.nano`` and count it in its budgets, or do nothing and return what is lacking.

        Raises QuotaExceeded.
        """
        now = time.monotonic()
        most = Used(request.tokens, request.nano, 1)
        with self.lock:
            if self.budgets.unknown(request.budgets, now_ms):
                return Lacking.BUDGET
            self.budgets.check(request.budgets, most, now_ms)
            if request.nano:
                lacking = self._fund(request, now)
                if lacking is not Lacking.NOTHING:
                    return lacking
            self.budgets.hold(windows_held(request, now_ms), most)
        return Lacking.NOTHING

    def _fund(self, request: HoldRequest, now: float) -> Lacking:
        if now > self.beat_at + self.valid_s:
            return Lacking.BEAT
        purse = self.purses.setdefault(request.caller.name, Purse())
        if purse.free < request.nano and now > purse.unlimited_until:
            return Lacking.LEASE
        purse.held += request.nano
        purse.used_at = now
        return Lacking.NOTHING

    def give_back(self, request: HoldRequest, windows: tuple[BudgetWindow, ...]) -> None:
        """End a hold without a settlement."""
        with self.lock:
            self._end(request, windows)

    def settle(
        self, request: HoldRequest, windows: tuple[BudgetWindow, ...], booking: Booking
    ) -> SettledRequest:
        """End a hold; its cost stays set aside until it is booked.

        Example:
            ``settled = holds.settle(request, windows, booking)``
        """
        with self.lock:
            self._end(request, windows)
            counted = self.budgets.settle(booking)
            if booking.settled_by is None and booking.charge.cost:
                self.purses.setdefault(booking.tenant, Purse()).unbooked += booking.charge.cost
        return SettledRequest(booking, counted)

    def _end(self, request: HoldRequest, windows: tuple[BudgetWindow, ...]) -> None:
        if request.nano:
            self.purses[request.caller.name].held -= request.nano
        self.budgets.hold(windows, Used(-request.tokens, -request.nano, -1))

    def booked(
        self, settled: Sequence[SettledRequest], first: frozenset[str], leases: Mapping[str, int]
    ) -> None:
        """Note that requests are in the database, ``first`` those that were not before, with the leases of their
        tenants as they are now.

        Example:
            ``holds.booked(batch, frozenset({"req_1"}), {"alice": 40_000})``
        """
        costs: dict[str, int] = {}
        counted: dict[BudgetWindow, Used] = {}
        new: dict[BudgetWindow, Used] = {}
        seen: set[str] = set()
        # Summed outside of the lock, which the event loop waits for.
        for one in settled:
            booking = one.booking
            if booking.settled_by is None and booking.charge.cost:
                costs[booking.tenant] = costs.get(booking.tenant, 0) + booking.charge.cost
            for window in one.windows:
                counted[window] = counted.get(window, NOTHING) + used_by(booking)
            if booking.request_id in first and booking.request_id not in seen and self.budgets.uses:
                for window in windows_of(booking):
                    new[window] = new.get(window, NOTHING) + used_by(booking)
            seen.add(booking.request_id)
        with self.lock:
            self.budgets.booked(counted, new)
            for tenant, cost in costs.items():
                self.purses[tenant].unbooked -= cost
            for tenant, nano in leases.items():
                self.purses.setdefault(tenant, Purse()).leased = nano

    def lease(self, tenant: str, nano: int, *, unlimited: bool) -> None:
        """Note a tenant's lease as it is in the database.

        Example:
            ``holds.lease("alice", 1_000_000, unlimited=False)``
        """
        with self.lock:
            purse = self.purses.setdefault(tenant, Purse())
            purse.leased = nano
            purse.unlimited_until = time.monotonic() + UNLIMITED_S if unlimited else 0.0

    def sync(self, leases: Mapping[str, int]) -> None:
        """Note all leases of this process as they are in the database: another process may have ended some."""
        with self.lock:
            for tenant in {*self.purses, *leases}:
                self.purses.setdefault(tenant, Purse()).leased = leases.get(tenant, 0)

    def shrink(self, tenant: str) -> int:
        """Take what is free out of a tenant's purse, so that it can be given back to the balance; return how much."""
        with self.lock:
            purse = self.purses.get(tenant, Purse())
            free = max(0, purse.free)
            purse.leased -= free
            return free

    def idle(self, idle_s: float) -> list[str]:
        """Return the tenants whose purses have something free and were not used for ``idle_s`` seconds."""
        before = time.monotonic() - idle_s
        with self.lock:
            return [tenant for tenant, p in self.purses.items() if p.free > 0 and p.used_at <= before]

    def forget_empty(self, now_ms: int) -> None:
        """Drop purses without anything in them, and budgets' windows that have ended: memory does not grow with the
        number of tenants ever seen."""
        now = time.monotonic()
        with self.lock:
            for tenant, purse in list(self.purses.items()):
                if not (purse.leased or purse.held or purse.unbooked or purse.unlimited_until > now):
                    del self.purses[tenant]
            self.budgets.forget_ended(now_ms)

    def purse(self, tenant: str) -> Purse:
        """Return a copy of a tenant's purse."""
        with self.lock:
            p = self.purses.get(tenant, Purse())
            return Purse(p.leased, p.held, p.unbooked, p.unlimited_until, p.used_at)

    def unknown(self, request: HoldRequest, now_ms: int) -> list[BudgetWindow]:
        """Return the windows whose use has to be read before ``request`` can be judged."""
        with self.lock:
            return self.budgets.unknown(request.budgets, now_ms)

    def watched(self) -> list[BudgetWindow]:
        """Return the windows that are watched."""
        with self.lock:
            return list(self.budgets.uses)

    def known(self, uses: Mapping[BudgetWindow, Used], all_at_ms: int | None = None) -> None:
        """Note the use of windows as the database has it; ``all_at_ms``: the time at which all watched ones were read.

        Called by the thread that books, so that nothing is counted both as booked and as unbooked.
        """
        with self.lock:
            for window, used in uses.items():
                self.budgets.uses.setdefault(window, WindowUse(used)).booked = used
            if all_at_ms is not None:
                self.budgets.read_ms = all_at_ms


def windows_held(request: HoldRequest, now_ms: int) -> tuple[BudgetWindow, ...]:
    """Return the windows that a request held at ``now_ms`` counts in."""
    return tuple(window_of(limit, now_ms) for limit in request.budgets)

"""`PaidRequests`: payments made for one request, between the ledger that books the request and the one that is paid.

A request that a payment pays for is booked against the world outside and not against the reader's balance. What the
payment takes beyond the price, since tokens come in whole units, is all that is credited to the reader.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from kvproxy.database.database import Database
from kvproxy.ledger.bookings import Balance, Booking, CreditKind
from kvproxy.ledger.paid_bookings import cost_paid_by

_REMEMBERED = 10_000
"""Payments of this process whose price is kept in memory: the newest ones."""


class CreditingLedger(Protocol):
    """The part of the ledger that credits go to."""

    async def booked(self) -> None:
        """Wait until everything that was settled is booked."""

    async def credit(self, tenant: str, nano: int, kind: CreditKind, reference: str = "", *, id: str) -> int:
        """Add to a tenant's balance, once for each ``id``; return the balance."""

    async def balance(self, tenant: str) -> Balance:
        """Return a tenant's balance."""


class PaidRequests:
    """A ``CreditedLedger`` for ``open_payments``, with the ``booked`` that it asks for.

    Example:
        ``paid = PaidRequests(ledger, database); open_payments(plan, database, paid, booked=paid.booked, …)``
    """

    def __init__(self, ledger: CreditingLedger, database: Database) -> None:
        self._ledger = ledger
        self._database = database
        self._prices: dict[str, int] = {}

    def note(self, booking: Booking) -> None:
        """Remember the price of a request that a payment pays for. Event loop only."""
        if booking.settled_by is not None:
            while len(self._prices) >= _REMEMBERED:
                del self._prices[next(iter(self._prices))]
            self._prices[booking.settled_by] = booking.charge.cost

    async def booked(self, payment: str) -> int | None:
        """Return what was booked against a payment's id, in nano-units; None where nothing was.

        A payment of an earlier process is looked for in the ledger's rows.
        """
        if (price := self._prices.get(payment)) is not None:
            return price
        await self._ledger.booked()
        return await asyncio.to_thread(self._find, payment)

    async def credit(self, tenant: str, nano: int, kind: CreditKind, reference: str = "", *, id: str) -> int:
        """Credit a payment, without the price of the request that it was made for; return the balance.

        Example: ``await paid.credit("alice", 120_000, "payment", "0xabc", id="pay_1")``
        """
        rest = nano - (await self.booked(id) or 0)
        if rest <= 0:
            return (await self._ledger.balance(tenant)).nano
        return await self._ledger.credit(tenant, rest, kind, reference, id=id)

    def _find(self, payment: str) -> int | None:
        with self._database.snapshot() as db:
            return cost_paid_by(db, payment)

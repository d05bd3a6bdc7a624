"""`PaymentMethod` and `Authorisation`: the protocol of ours that every way to pay is behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from kvproxy.ledger.bookings import CreditKind
from kvproxy.payments.payment_demand import MethodOffer, PaymentDemand, Settlement

__all__ = ["Authorisation", "CreditedLedger", "MethodOffer", "PaymentDemand", "PaymentMethod", "Settlement"]


class Authorisation(Protocol):
    """A payment that was checked and not taken. One of the two calls ends it; both are idempotent."""

    @property
    def payment(self) -> str:
        """The payment's id, for the ledger's ``settled_by``."""
        ...

    @property
    def covers(self) -> int:
        """Nano-units that come from outside at the settlement, at most. 0: the tenant's balance pays, so hold it."""
        ...

    async def settle(self, nano: int) -> Settlement:
        """Take ``nano``, at most what was authorised, and credit it to the tenant. 0 takes nothing."""

    async def release(self) -> None:
        """Take nothing. The payer's signature stays unused."""


class PaymentMethod(Protocol):
    """One way to pay."""

    @property
    def name(self) -> str:
        """The name in ``payments.methods``."""
        ...

    async def quote(self, demand: PaymentDemand) -> MethodOffer:
        """Return the challenges that ask for the demand."""

    async def authorise(self, headers: Mapping[str, str], demand: PaymentDemand) -> Authorisation | None:
        """Check the credential in a request's headers; None where none of them is for this method.

        Raises PaymentRequired for one that is wrong, expired or too small, AlreadyUsed for one that was used.
        """
        ...


class CreditedLedger(Protocol):
    """The part of the ledger that payments need."""

    async def credit(self, tenant: str, nano: int, kind: CreditKind, reference: str = "", *, id: str) -> int:
        """Credit a payment, once for each ``id``; return the balance."""
        ...

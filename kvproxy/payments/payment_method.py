"""`PaymentMethod` and `Authorisation`: the protocol of ours that every way to pay is behind; values that cross it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kvproxy.ledger.bookings import CreditKind


@dataclass(frozen=True, slots=True)
class PaymentDemand:
    """A price that a tenant is asked for: of one request, or of a top-up."""

    tenant: str
    nano: int
    """The most that will be taken: a request's miss price, a top-up's amount."""
    currency: str
    url: str
    """The absolute URL of what is paid for. Challenges are bound to it."""
    description: str = ""
    http_method: str = "POST"


@dataclass(frozen=True, slots=True)
class MethodOffer:
    """One method's part of a 402, in both dialects."""

    challenges: tuple[str, ...] = ()
    """Values of ``WWW-Authenticate`` with the scheme ``Payment``."""
    accepts: tuple[Mapping[str, Any], ...] = ()
    """x402's payment requirements."""
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """x402's extensions."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """A payment that was taken: headers for the answer where they are not gone yet, and its reference."""

    headers: Mapping[str, str]
    reference: str
    """The facilitator's transaction; for the prepaid balance, and where nothing was to be paid, the payment's id."""
    nano: int
    """Credited to the tenant: the price rounded up to the token's units, so that the rest stays in the balance."""
    payment: str
    """The payment's id."""
    balance: int | None = None
    """The tenant's balance after the credit; None where nothing was credited."""


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
        ...

    async def release(self) -> None:
        """Take nothing. The payer's signature stays unused."""
        ...


class PaymentMethod(Protocol):
    """One way to pay."""

    @property
    def name(self) -> str:
        """The name in ``payments.methods``."""
        ...

    async def quote(self, demand: PaymentDemand) -> MethodOffer:
        """Return the challenges that ask for the demand."""
        ...

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

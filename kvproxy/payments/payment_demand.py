"""Values that cross the protocol of payments: `PaymentDemand` in, `MethodOffer` and `Settlement` out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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

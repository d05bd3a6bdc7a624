"""`Payments`: the methods of payment that are configured, behind one object for routes and charging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kvproxy.core import Money, format_nano
from kvproxy.errors import PaymentRequired, PermissionDenied
from kvproxy.payments.payment_demand import MethodOffer, PaymentDemand, Settlement
from kvproxy.payments.payment_headers import (
    CREDENTIAL_HEADER,
    SIGNATURE_HEADER,
    offer_headers,
    one_header,
    payment_required,
)
from kvproxy.payments.payment_method import Authorisation, PaymentMethod
from kvproxy.payments.topup_limits import TopupLimits

TOPUP_METHOD = "evm"
"""The method that takes exact amounts."""

TOPUP_PATH = "/kv/v1/topup"

_UNPAID = "PAYMENT-SIGNATURE header is required"


@dataclass(frozen=True, slots=True)
class PaymentOffer:
    """The ways to pay as a 402 carries them: headers of both dialects, and the same for the body's quote object."""

    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Payments:
    """The configured methods, in the order in which they are offered. None: the operator credits tenants by hand."""

    methods: Sequence[PaymentMethod] = ()
    limits: TopupLimits = field(default_factory=TopupLimits)
    public_url: str = "http://127.0.0.1:8321"
    currency: str = "USD"

    async def challenge(self, quote: PaymentDemand) -> Mapping[str, str]:
        """Return the headers of a 402 for a demand: none where no method is configured."""
        return (await self.offer(quote)).headers

    async def offer(self, quote: PaymentDemand) -> PaymentOffer:
        """Return the headers of a 402, and what its quote object says under ``payment``."""
        demand = self._placed(quote)
        offer = _offer([await method.quote(demand) for method in self.methods], demand)
        if all(method.name != TOPUP_METHOD for method in self.methods):
            return offer
        least, most = format_nano(self.limits.least_nano), format_nano(self.limits.most_nano)
        return replace(
            offer, body={**offer.body, "topup": {"path": TOPUP_PATH, "least": least, "most": most}}
        )

    async def required(
        self, quote: PaymentDemand, message: str, body: Mapping[str, Any] | None = None
    ) -> PaymentRequired:
        """Return the 402 for a demand: ``body`` is the signed quote, which the ways to pay are added to.

        Example:
            ``raise await payments.required(demand, "The balance is 0 USD and the request may cost 0.02 USD.", quote)``
        """
        offer = await self.offer(quote)
        advice = f"{message} {self.advice(quote.tenant)}"
        whole = None if body is None and not offer.body else {**(body or {}), "payment": dict(offer.body)}
        return PaymentRequired(advice, quote=whole, headers=offer.headers)

    def advice(self, tenant: str) -> str:
        """Return what a tenant without balance can do."""
        names = {method.name for method in self.methods}
        ways = []
        if TOPUP_METHOD in names:
            ways.append(f"top up with POST {TOPUP_PATH}")
        if names - {"kvbalance"}:
            ways.append("pay this request as its headers WWW-Authenticate and PAYMENT-REQUIRED say")
        ways.append(f"ask the operator to credit the tenant: kvproxy ledger credit {tenant} AMOUNT")
        told = ", or ".join(ways)
        return f"{told[0].upper()}{told[1:]}."

    async def authorise(
        self, headers: Mapping[str, str], need_nano: int, quote: PaymentDemand
    ) -> Authorisation | None:
        """Check the payment in a request's headers for ``need_nano``; None where they carry none.

        Raises PaymentRequired (wrong, expired, too small, or for no method of this host), AlreadyUsed, Unavailable.
        Example:
            ``await payments.authorise(request.headers, need, PaymentDemand("alice", need, "USD", ""))``
        """
        demand = self._placed(replace(quote, nano=need_nano))
        for method in self.methods:
            found = await method.authorise(headers, demand)
            if found is not None:
                return found
        if any(one_header(headers, name) is not None for name in (CREDENTIAL_HEADER, SIGNATURE_HEADER)):
            raise await self.required(demand, "The payment is for no method of this host. Nothing was taken.")
        return None

    async def topup(self, headers: Mapping[str, str], quote: PaymentDemand) -> Settlement:
        """Take an exact amount into the tenant's balance. Raises PaymentRequired with the challenge where the headers
        carry no payment, PermissionDenied where none is configured."""
        method = next((method for method in self.methods if method.name == TOPUP_METHOD), None)
        if method is None:
            raise PermissionDenied(
                "This host takes no payments for top-ups. Ask the operator to credit your tenant: "
                f"kvproxy ledger credit {quote.tenant} AMOUNT."
            )
        self.limits.check(quote.nano, quote.currency)
        demand = self._placed(quote)
        paid = await method.authorise(headers, demand)
        if paid is not None:
            return await paid.settle(demand.nano)
        offer = _offer([await method.quote(demand)], demand)
        amount = Money(quote.nano, quote.currency)
        raise PaymentRequired(
            f"A top-up of {amount} is to be paid: sign a challenge of WWW-Authenticate and send the request again with "
            "Payment-Authorization, or with PAYMENT-SIGNATURE for PAYMENT-REQUIRED.",
            quote={"payment": dict(offer.body)},
            headers=offer.headers,
        )

    def _placed(self, demand: PaymentDemand) -> PaymentDemand:
        """Give a demand without an address this host's: challenges are bound to one."""
        return demand if demand.url else replace(demand, url=f"{self.public_url}/v1")


def _offer(offers: Sequence[MethodOffer], demand: PaymentDemand) -> PaymentOffer:
    headers = offer_headers(offers, demand.url, _UNPAID)
    if not headers:
        return PaymentOffer()
    body: dict[str, Any] = {"mpp": [challenge for offer in offers for challenge in offer.challenges]}
    x402 = payment_required(offers, demand.url, _UNPAID)
    if x402 is not None:
        body["x402"] = x402
    return PaymentOffer(headers, body)

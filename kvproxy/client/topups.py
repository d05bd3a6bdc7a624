"""`Payer`: what signs a payment for `Client.topup`, and the exchange around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import httpx

from kvproxy.client.request_failed import RequestFailed, refusal

_TOPUP = "/kv/v1/topup"


@dataclass(frozen=True, slots=True)
class PaymentAsked:
    """A 402 as a payer needs it. Header names are in lower case."""

    amount: str
    """The amount, as a decimal; empty where only the headers say it."""
    url: str
    headers: Mapping[str, str]
    """``www-authenticate`` has MPP's challenges, ``payment-required`` x402's."""
    quote: Mapping[str, Any] | None
    """The quote object of the body."""


class Payer(Protocol):
    """Signs payments. `kvproxy.client.evm_payer.EvmPayer` is one; a wallet's service may be another."""

    def pay(self, asked: PaymentAsked) -> Mapping[str, str]:
        """Return the headers that pay: ``Payment-Authorization`` or ``PAYMENT-SIGNATURE``. Raise to refuse."""
        ...


def payment_asked(response: httpx.Response, amount: str = "") -> PaymentAsked:
    """Read a 402. Raises RequestFailed for any other answer.

    Example: ``payer.pay(payment_asked(httpx.post(url, json=body)))``.
    """
    if response.status_code != HTTPStatus.PAYMENT_REQUIRED:
        raise refusal(response)
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = None
    quote = body.get("quote") if isinstance(body, dict) else None
    headers = {name.lower(): value for name, value in response.headers.items()}
    return PaymentAsked(amount, str(response.url), headers, quote if isinstance(quote, dict) else None)


def topped_up(http: httpx.Client, amount: str, payer: Payer) -> dict[str, Any]:
    """Ask for a top-up, have it paid, and return the answer. Raises RequestFailed, and what the payer raises.

    The paid request is not sent again by itself: look at the balance before paying anew.
    Example: ``topped_up(http, "5", payer)["balance"]``.
    """
    body = {"amount": amount}
    asked = payment_asked(http.post(_TOPUP, json=body), amount)
    paid = http.post(_TOPUP, json=body, headers=dict(payer.pay(asked)))
    if paid.is_error:
        raise refusal(paid)
    answer = paid.json()
    if not isinstance(answer, dict):
        raise RequestFailed(f"{paid.url} answered a payment with no JSON object; look at your balance")
    return answer

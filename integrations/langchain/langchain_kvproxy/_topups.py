"""Top-ups within a cap: a 402 is paid by a payer of the caller's, or raised with its quote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from threading import Lock
from typing import Any, Protocol

import httpx

from langchain_kvproxy import _protocol
from langchain_kvproxy._errors import ProxyRefused

LEAST = Decimal("0.01")
"""The smallest top-up where the proxy names none."""


class PaymentRequiredError(ProxyRefused):
    """The balance does not cover a request, and nothing was paid for it.

    Attributes:
        quote: The quote object: what the request may cost, and how it can be paid.
        headers: The challenges, `www-authenticate` and `payment-required`.

    Example:
        `PaymentRequiredError("no balance", quote={"most": {"amount": "0.02"}}, headers={})`
    """

    def __init__(self, message: str, *, quote: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        super().__init__(message, status=402, code="payment_required")
        self.quote = dict(quote)
        self.headers = dict(headers)


@dataclass(frozen=True)
class TopupChallenge:
    """A 402 as a payer needs it. Header names are in lower case."""

    amount: str
    url: str
    headers: Mapping[str, str]
    quote: Mapping[str, Any]


class TopupPayer(Protocol):
    """Signs payments; `kvproxy.client.evm_payer.EvmPayer` is one."""

    def pay(self, asked: TopupChallenge) -> Mapping[str, str]:
        """Return the headers that pay: `Payment-Authorization` or `PAYMENT-SIGNATURE`. Raise to refuse."""
        ...


class TopupAllowance:
    """Spending within a cap. One for the model and its copies; safe from several threads."""

    def __init__(self) -> None:
        self._spent = Decimal(0)
        self._lock = Lock()

    def spend(self, amount: Decimal, cap: Decimal, pay: Callable[[], None]) -> bool:
        """Pay within the cap, one at a time; False where the amount is above what is left of it.

        A payment counts from the moment that it is signed, whatever comes of it.

        Example:
            `purse.spend(Decimal("0.02"), Decimal("5"), lambda: None)`
        """
        with self._lock:
            if self._spent + amount > cap:
                return False
            self._spent += amount
            pay()
            return True


def error_of(response: Any) -> PaymentRequiredError:
    """Read the error of a 402, which is openai's or httpx's response."""
    try:
        body = response.json()
    except ValueError:
        body = None
    fields = body if isinstance(body, dict) else {}
    told, quote = fields.get("error"), fields.get("quote")
    message = told.get("message") if isinstance(told, dict) else None
    headers = {name.lower(): value for name, value in response.headers.items()}
    asked = {n: headers[n] for n in ("www-authenticate", "payment-required") if n in headers}
    return PaymentRequiredError(
        message if isinstance(message, str) else "the proxy asks for a payment",
        quote=quote if isinstance(quote, dict) else {},
        headers=asked,
    )


def amount_of(error: PaymentRequiredError) -> Decimal:
    """Return the top-up that a request needs: the most that it may cost, at least the proxy's least top-up."""
    payment = error.quote.get("payment")
    limits = payment.get("topup") if isinstance(payment, dict) else None
    most = error.quote.get("most")
    needed = _decimal(most.get("amount") if isinstance(most, dict) else None, LEAST)
    return max(needed, _decimal(limits.get("least") if isinstance(limits, dict) else None, LEAST))


def pay_topup(root: str, key: str, amount: Decimal, payer: TopupPayer) -> None:
    """Top up the key's balance at the proxy. Raises ProxyRefused, ProxyUnreachable, and what the payer raises.

    Example:
        `pay_topup("http://127.0.0.1:8321", "my-key", Decimal("0.02"), payer)`
    """
    body, headers = {"amount": f"{amount:f}"}, {"authorization": f"Bearer {key}"}
    url = root + "/kv/v1/topup"
    try:
        with httpx.Client(headers=headers, timeout=httpx.Timeout(60.0), trust_env=False) as http:
            answer = http.post(url, json=body)
            if answer.status_code != 402:
                _protocol.answered(answer, root)
                return
            error = error_of(answer)
            asked = TopupChallenge(body["amount"], url, error.headers, error.quote)
            paid = http.post(url, json=body, headers=dict(payer.pay(asked)))
    except httpx.HTTPError as e:
        raise _protocol.unreachable(e, root) from e
    if paid.status_code == 402:
        raise error_of(paid)
    _protocol.answered(paid, root)


def _decimal(text: object, default: Decimal) -> Decimal:
    try:
        value = Decimal(str(text))
    except InvalidOperation:
        return default
    return value if value.is_finite() and value > 0 else default

"""Types of a quote: the one object of ``POST /kv/v1/quote``, of a 402's body and of the payment protocols."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.core import Money, format_nano


class MoneyBody(TypedDict):
    """An amount. ``amount`` is ``nano`` as a decimal of ``currency``: 377000 is ``0.000377``."""

    nano: int
    amount: str
    currency: str


class QuotedDocument(TypedDict):
    """A document in a quote. ``tokens`` would be taken from its kept pages now; ``terms`` price them."""

    document: str
    sha256: str
    publisher: str
    tokens: int
    terms: str
    by_reference: bool


class KvQuote(TypedDict):
    """The price of a request, fixed until ``expires`` (Unix seconds) for the reader who asked.

    ``hit`` is its price while its pages are kept, ``miss`` the price without them, both without the answer's tokens;
    ``most`` is what a request may cost with an answer of ``max_tokens``, and is held or authorised. ``jws`` signs the
    same claims with the host's key: send it with the request, once.
    """

    object: Literal["kv_quote"]
    id: str
    created: int
    expires: int
    model: str
    prompt_tokens: int
    cached_tokens: int
    max_tokens: int
    hit: MoneyBody
    miss: MoneyBody
    saved: MoneyBody
    most: MoneyBody
    decision: Literal["hit", "miss"]
    reason: str
    documents: list[QuotedDocument]
    tariff: str
    jws: str
    payment: NotRequired[dict[str, Any]]
    """In a 402: the ways to pay, as the payment protocols have them."""


def money_body(nano: int, currency: str) -> MoneyBody:
    """Write an amount of nano-units: ``money_body(377_000, "USD")`` has the amount ``0.000377``."""
    money = Money(nano, currency)
    return {"nano": money.nano, "amount": format_nano(money.nano), "currency": money.currency}

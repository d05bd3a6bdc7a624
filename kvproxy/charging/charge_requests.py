"""The seam between a request and its price: `Order` in, `OpenCharge` out, and `NoCharging` for proxies without prices.

The pipeline opens a charge before any engine work; whoever sends the answer closes it, in one of three ways: settled,
left (the client went away, and pays for what was computed), or released (the request failed, and costs nothing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from kvproxy.core import Caller, Charge, Decision, DocumentRef, MeteredTokens, Money, Span


@dataclass(frozen=True, slots=True)
class Offer:
    """The headers of a request that are about paying for it."""

    quote: str | None = None
    """``x-kvproxy-quote``: a signed quote that is to be honoured."""
    receipt: bool = False
    """``x-kvproxy-receipt``: the answer is to carry its receipt."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """All headers of the request, for the payment protocols."""


@dataclass(frozen=True, slots=True)
class OrderedPrompt:
    """One prompt of a request, at its largest."""

    tokens: int
    """Of the prompt. For an upstream's model, which alone can count them: an upper bound."""
    most_new: int
    """Tokens that each answer may have at most."""
    documents: tuple[Span, ...] = ()
    choices: int = 1
    expected: Callable[[], Decision] | None = None
    """Looks up whether it would be a hit now, for the quote of a refusal; None where nothing is known of that."""


@dataclass(frozen=True, slots=True)
class Order:
    """All that one client request may use. ``request_id`` is the key of its one booking."""

    request_id: str
    caller: Caller
    model: str
    prompts: tuple[OrderedPrompt, ...]
    offer: Offer = Offer()


@dataclass(frozen=True, slots=True)
class ChargePreview:
    """The amounts that are known before the work."""

    hold: Money
    """Reserved on the balance: the price as a miss, with answers of full length."""
    cold_prompt: Money
    """The price of the prompts alone as a miss."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A closed charge. ``charge`` is None where no tariff prices the model."""

    charge: Charge | None = None
    receipts: tuple[str, ...] = ()
    """Signed, one for each document that was read, where the client asks for them."""


class OpenCharge(Protocol):
    """The charge of a request that is being answered. The first of ``settle``, ``left`` and ``release`` counts; later
    ones change nothing. All of them take microseconds, and belong to the event loop."""

    @property
    def preview(self) -> ChargePreview | None:
        """The amounts known up front; None where no tariff prices the model."""

    @property
    def terms(self) -> Mapping[DocumentRef, str]:
        """Ids of the terms that price each document of the order, as they were when it was opened."""

    def settle(self, metered: MeteredTokens) -> Settled:
        """Book what the request used: journalled when this returns, so that the final event may follow."""

    def left(self, metered: MeteredTokens) -> Settled:
        """Book what was computed for a client that has left."""

    def release(self) -> None:
        """Free the hold: the request failed and costs nothing."""

    async def paid(self) -> Mapping[str, str]:
        """Finish the payment that authorised the request, after ``settle``; return its headers."""


class Charging(Protocol):
    """Opens the charges of requests."""

    async def open(self, order: Order) -> OpenCharge:
        """Hold the most that the order may cost. Raises PaymentRequired, QuotaExceeded, and the errors of quotes."""

    def prefilled(self, model: str, tokens: int, seconds: float) -> None:
        """Learn the speed of a prefill: so many ``tokens`` were computed in ``seconds``."""


class NoCharge:
    """The charge of a request that costs nothing and is not booked."""

    preview = None
    terms: Mapping[DocumentRef, str] = {}

    def settle(self, metered: MeteredTokens) -> Settled:
        """Book nothing."""
        return Settled()

    def left(self, metered: MeteredTokens) -> Settled:
        """Book nothing."""
        return Settled()

    def release(self) -> None:
        """Free nothing."""

    async def paid(self) -> Mapping[str, str]:
        """Return no headers."""
        return {}


class NoCharging:
    """Charging of a proxy without a ledger: every request is free."""

    async def open(self, order: Order) -> OpenCharge:
        """Open a charge that books nothing."""
        return NoCharge()

    def prefilled(self, model: str, tokens: int, seconds: float) -> None:
        """Learn nothing."""

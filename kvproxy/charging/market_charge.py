"""`MarketCharge`: the open charge of one order: settled at its real price, in the ledger and with its payment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from kvproxy.charging.charge_requests import ChargePreview, Settled
from kvproxy.charging.prefill_rates import PrefillRates
from kvproxy.charging.priced_order import PricedOrder
from kvproxy.core import DocumentRef, HonouredQuote, MeteredTokens
from kvproxy.ledger.bookings import Booking, Outcome
from kvproxy.ledger.hold import Hold
from kvproxy.payments.payment_method import Authorisation, Settlement

logger = logging.getLogger(__name__)


class ChargingHouse(Protocol):
    """The charging that opened it."""

    rates: PrefillRates
    fingerprints: dict[str, str]
    clock_ms: Callable[[], int]
    receipt_of: Callable[[Booking], tuple[str, ...]] | None
    paid: Callable[[Booking], None] | None

    def undo(self, quote: HonouredQuote | None, authorisation: Authorisation | None) -> None:
        """Give a quote and a payment back."""

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work that no request waits for."""


class MarketCharge:
    """Implements ``OpenCharge``: the first of ``settle``, ``left`` and ``release`` counts."""

    def __init__(
        self,
        house: ChargingHouse,
        priced: PricedOrder,
        hold: Hold,
        authorisation: Authorisation | None,
        quote: HonouredQuote | None,
    ) -> None:
        """Take over what is held for the order.

        Example: ``MarketCharge(charging, priced, hold, None, None)``
        """
        self._house = house
        self._priced = priced
        self._hold = hold
        self._authorisation = authorisation
        self._quote = quote
        self._settled: Settled | None = None
        self._paying: asyncio.Task[None] | None = None
        self._headers: Mapping[str, str] = {}

    @property
    def preview(self) -> ChargePreview | None:
        """The amounts known up front; None for a free order."""
        return self._priced.preview

    @property
    def terms(self) -> Mapping[DocumentRef, str]:
        """Ids of the terms of each document of the order."""
        return self._priced.terms

    def settle(self, metered: MeteredTokens) -> Settled:
        """Journal the booking of a complete answer."""
        return self._book(metered, "complete")

    def left(self, metered: MeteredTokens) -> Settled:
        """Journal the booking of what was computed for a client that has left."""
        return self._book(metered, "left")

    def release(self) -> None:
        """Free the hold, the quote and the payment: the request failed."""
        if self._settled is None and not self._hold.ended:
            self._hold.release()
            self._house.undo(self._quote, self._authorisation)

    async def paid(self) -> Mapping[str, str]:
        """Wait until the payment is settled; return its headers. One that fails is finished later, and has none."""
        if self._paying is not None:
            await asyncio.wait([self._paying])
        return self._headers

    def _book(self, used: MeteredTokens, outcome: Outcome) -> Settled:
        if self._settled is not None or self._hold.ended:
            return self._settled or Settled()
        house, order, currency = self._house, self._priced.order, self._currency
        metered = self._priced.bounded(used)
        if metered != used:
            logger.warning("%s: an upstream's report is beyond what was held: %s", order.request_id, used)
        charged = self._priced.charge(metered, currency)
        covered = self._authorisation is not None and self._authorisation.covers > 0
        booking = Booking(
            request_id=order.request_id,
            at_ms=house.clock_ms(),
            tenant=order.caller.name,
            key=order.caller.key,
            metered=metered,
            charge=charged,
            seconds_saved_us=house.rates.saved_us(order.model, metered.cached_tokens),
            fingerprint=house.fingerprints.get(order.model, ""),
            settled_by=self._authorisation.payment if covered and self._authorisation is not None else None,
            outcome=outcome,
        )
        self._hold.settle(booking)
        if booking.settled_by is not None and house.paid is not None:
            house.paid(booking)
        priced = self._priced.tariff is not None
        wanted = priced and order.offer.receipt and house.receipt_of is not None
        receipts = house.receipt_of(booking) if wanted and house.receipt_of is not None else ()
        self._settled = Settled(charged if priced else None, receipts)
        if self._authorisation is not None:
            self._paying = house.run(self._pay(self._authorisation, charged.cost))
        return self._settled

    @property
    def _currency(self) -> str:
        return "" if self._priced.tariff is None else self._priced.tariff.currency

    async def _pay(self, authorisation: Authorisation, nano: int) -> None:
        settlement: Settlement = await authorisation.settle(nano)
        self._headers = settlement.headers

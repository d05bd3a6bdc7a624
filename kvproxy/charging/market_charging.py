"""`MarketCharging`: charging by tariff, on a ledger; with quotes, grants and payments where there are any."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from kvproxy.charging.charge_requests import Order
from kvproxy.charging.charging_parts import (
    BudgetLookup,
    GrantLookup,
    HoldingLedger,
    PriceHistory,
    QuoteHonouring,
    RequestPayments,
    TermsLookup,
)
from kvproxy.charging.market_charge import MarketCharge
from kvproxy.charging.prefill_rates import PrefillRates
from kvproxy.charging.priced_order import PricedOrder, price_order, quote_basis
from kvproxy.charging.reader_terms import ReaderTerms
from kvproxy.core import HonouredQuote, Span, format_nano
from kvproxy.errors import InvalidRequest, PaymentRequired
from kvproxy.ledger.bookings import Booking, HoldRequest
from kvproxy.ledger.hold import Hold
from kvproxy.ledger.ledger import unix_ms
from kvproxy.payments.payment_method import Authorisation, PaymentDemand
from kvproxy.tariffs import DocumentTerms

logger = logging.getLogger(__name__)

ReceiptOf = Callable[[Booking], tuple[str, ...]]
"""Returns a booking's signed receipts, one for each document: ``kvproxy.receipts.Receipts.of``."""


@dataclass(frozen=True, slots=True)
class MarketDesks:
    """The optional parts: None of them, and such headers are ignored."""

    grants: GrantLookup | None = None
    budgets: BudgetLookup | None = None
    quotes: QuoteHonouring | None = None
    payments: RequestPayments | None = None
    receipt_of: ReceiptOf | None = None
    paid: Callable[[Booking], None] | None = None
    """Called with each booking that a payment pays for: ``PaidRequests.note``."""


class MarketCharging:
    """Implements ``Charging``. Event loop only; ``close`` waits for what settlements began.

    Example:
        ``MarketCharging(ledger, tariffs, terms, MarketDesks(grants=grants), fingerprints={"qwen": "sha256:…"})``
    """

    def __init__(
        self,
        ledger: HoldingLedger,
        tariffs: PriceHistory,
        terms: TermsLookup,
        desks: MarketDesks = MarketDesks(),
        *,
        fingerprints: Mapping[str, str] | None = None,
        clock_ms: Callable[[], int] = unix_ms,
    ) -> None:
        """``fingerprints``: by the names of the models whose KV is managed here, for their bookings.

        Example: ``MarketCharging(ledger, tariffs, terms)``
        """
        self.ledger = ledger
        self.fingerprints = dict(fingerprints or {})
        self.clock_ms = clock_ms
        self.rates = PrefillRates()
        self.receipt_of = desks.receipt_of
        self.paid = desks.paid
        self._tariffs = tariffs
        self._terms = ReaderTerms(terms, desks.grants)
        self._desks = desks
        self._background: set[asyncio.Task[None]] = set()

    async def open(self, order: Order) -> MarketCharge:
        """Hold the most that the order may cost.

        Raises PaymentRequired with a quote and the ways to pay, QuotaExceeded, and the errors of quotes and payments.
        """
        quote = await self._honoured(order)
        authorisation: Authorisation | None = None
        try:
            priced = await self._priced(order, quote)
            authorisation = await self._authorised(priced)
            hold = await self._held(priced, authorisation)
            return MarketCharge(self, priced, hold, authorisation, quote)
        except BaseException:
            self.undo(quote, authorisation)
            raise

    def prefilled(self, model: str, tokens: int, seconds: float) -> None:
        """Learn how fast prompts are computed here: seconds saved are estimated from it."""
        self.rates.learn(model, tokens, seconds)

    def undo(self, quote: HonouredQuote | None, authorisation: Authorisation | None) -> None:
        """Give a quote and a payment back, in the background: the request has failed."""
        if quote is not None and self._desks.quotes is not None:
            self.run(self._desks.quotes.give_back(quote.jti))
        if authorisation is not None:
            self.run(authorisation.release())

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work that no request waits for. A failure is logged."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> None:
        """Wait for what was begun in the background."""
        while self._background:
            await asyncio.wait(self._background)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("work after a request failed", exc_info=task.exception())

    async def _honoured(self, order: Order) -> HonouredQuote | None:
        jws, quotes = order.offer.quote, self._desks.quotes
        if jws is None or quotes is None:
            return None
        quote = await quotes.honour(jws, order.caller, self.clock_ms(), order.request_id)
        if quote.model == order.model:
            return quote
        self.undo(quote, None)
        raise InvalidRequest(
            f"The quote is for the model '{quote.model[:64]}'. Ask for another one, or leave the header out.",
            param="model",
        )

    async def _priced(self, order: Order, quote: HonouredQuote | None) -> PricedOrder:
        spans = [span for prompt in order.prompts for span in prompt.documents]
        await self._terms.learn(spans, () if quote is None else quote.terms.values())
        if quote is None:
            return price_order(order, self._tariffs.at(self.clock_ms()), self._terms.now)
        tariff = self._tariffs.by_id(quote.tariff)
        if tariff is None:
            raise InvalidRequest("The quote's tariff is not known any more. Ask for another quote.")

        def terms_of(span: Span) -> DocumentTerms:
            quoted = self._terms.known(quote.terms.get(str(span.document), ""))
            return self._terms.now(span) if quoted is None else quoted

        return price_order(order, tariff, terms_of)

    async def _authorised(self, priced: PricedOrder) -> Authorisation | None:
        if self._desks.payments is None or priced.nano == 0:
            return None
        demand = self._demand(priced)
        return await self._desks.payments.authorise(priced.order.offer.headers, priced.nano, demand)

    async def _held(self, priced: PricedOrder, authorisation: Authorisation | None) -> Hold:
        order = priced.order
        from_outside = 0 if authorisation is None else authorisation.covers
        budgets = () if self._desks.budgets is None else self._desks.budgets.budgets_of(order.caller)
        try:
            return await self.ledger.hold(
                HoldRequest(
                    order.request_id,
                    order.caller,
                    0 if from_outside >= priced.nano else priced.nano,
                    priced.tokens,
                    budgets,
                )
            )
        except PaymentRequired as e:
            raise await self._payment_required(priced, e) from e

    async def _payment_required(self, priced: PricedOrder, refused: PaymentRequired) -> PaymentRequired:
        """Return the 402 with the order's quote and the ways to pay, where there are such parts."""
        order, tariff = priced.order, priced.tariff
        body = None
        if self._desks.quotes is not None and tariff is not None:
            basis = quote_basis(priced, tariff)
            body = self._desks.quotes.make(basis, order.caller, self.clock_ms()).body
        if self._desks.payments is None:
            return PaymentRequired(refused.message, quote=body)
        balance = await self.ledger.balance(order.caller.name)
        currency = self.ledger.currency
        message = (
            f"This request may cost up to {format_nano(priced.nano)} {currency}, and the balance of "
            f"'{order.caller.name}' is {format_nano(balance.nano - balance.held)} {currency}."
        )
        return await self._desks.payments.required(self._demand(priced), message, body)

    def _demand(self, priced: PricedOrder) -> PaymentDemand:
        order = priced.order
        return PaymentDemand(
            order.caller.name,
            priced.nano,
            self.ledger.currency,
            "",
            description=f"a request to {order.model[:64]}, at most",
        )

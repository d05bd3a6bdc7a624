"""`FakeCharging`: charging with one balance in memory, for tests and for trying out clients. Nothing outlives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kvproxy.charging.charge_requests import ChargePreview, Order, Settled
from kvproxy.charging.meter_tokens import whole_reads
from kvproxy.core import DocumentRef, MeteredTokens, Money, format_nano
from kvproxy.errors import KVProxyError, PaymentRequired
from kvproxy.tariffs import FREE, DocumentTerms, Tariff, charge, most_it_may_cost


@dataclass(frozen=True, slots=True)
class FakeBooking:
    """One booking, in the order in which they were made."""

    request_id: str
    metered: MeteredTokens
    settled: Settled
    outcome: Literal["complete", "left"]


class FakeCharging:
    """Holds and books on one prepaid balance. ``terms`` price all documents alike."""

    def __init__(self, tariff: Tariff, balance: int, terms: DocumentTerms = FREE) -> None:
        """Begin with ``balance`` nano-units. Example: ``FakeCharging(tariff, balance=10**9)``."""
        self.tariff = tariff
        self.balance = balance
        self.terms = terms
        self.held: dict[str, int] = {}
        """Nano-units by request id."""
        self.orders: list[Order] = []
        self.bookings: list[FakeBooking] = []
        self.prefills: list[tuple[str, int]] = []
        self.refuse: KVProxyError | None = None
        """Raised by the next order."""

    async def open(self, order: Order) -> FakeCharge:
        """Hold the most that the order may cost. Raises PaymentRequired, and ``refuse``."""
        self.orders.append(order)
        refused, self.refuse = self.refuse, None
        if refused is not None:
            raise refused
        terms = {span.document: self.terms.id for prompt in order.prompts for span in prompt.documents}
        nano = sum(
            most_it_may_cost(
                order.model,
                prompt.tokens,
                prompt.most_new,
                self.tariff,
                {self.terms.id: self.terms},
                whole_reads(prompt.documents, terms),
                prompt.choices,
            )
            for prompt in order.prompts
        )
        free = self.balance - sum(self.held.values())
        if nano > free:
            raise PaymentRequired(
                f"The balance is {format_nano(free)} and the request may cost {format_nano(nano)}."
            )
        self.held[order.request_id] = nano
        tokens = sum(prompt.tokens for prompt in order.prompts)
        cold = most_it_may_cost(order.model, tokens, 0, self.tariff, {})
        currency = self.tariff.currency
        return FakeCharge(self, order, terms, ChargePreview(Money(nano, currency), Money(cold, currency)))

    def prefilled(self, model: str, tokens: int, seconds: float) -> None:
        """Note a prefill's tokens."""
        self.prefills.append((model, tokens))


class FakeCharge:
    """The open charge of one order."""

    def __init__(
        self,
        charging: FakeCharging,
        order: Order,
        terms: Mapping[DocumentRef, str],
        preview: ChargePreview,
    ) -> None:
        """Take what ``FakeCharging.open`` has held. Example: ``FakeCharge(charging, order, {}, preview)``."""
        self.terms = terms
        self.preview = preview
        self._charging = charging
        self._order = order

    def settle(self, metered: MeteredTokens) -> Settled:
        """Book the price. A second call, or one after ``release``, is an error of the caller."""
        return self._book(metered, "complete")

    def left(self, metered: MeteredTokens) -> Settled:
        """Book the price of what was computed."""
        return self._book(metered, "left")

    def release(self) -> None:
        """Free the hold. Idempotent."""
        self._charging.held.pop(self._order.request_id, None)

    async def paid(self) -> Mapping[str, str]:
        """Return no headers: nothing is paid but from the balance."""
        return {}

    def _book(self, metered: MeteredTokens, outcome: Literal["complete", "left"]) -> Settled:
        charging = self._charging
        charged = charge(metered, charging.tariff, {charging.terms.id: charging.terms})
        held = charging.held.pop(self._order.request_id)
        if charged.cost > held:
            raise AssertionError(f"{charged.cost} nano-units were booked and {held} held")
        charging.balance -= charged.cost
        wanted = self._order.offer.receipt
        receipts = tuple(f"receipt of {read.document}" for read in metered.documents if wanted)
        settled = Settled(charged, receipts)
        charging.bookings.append(FakeBooking(self._order.request_id, metered, settled, outcome))
        return settled

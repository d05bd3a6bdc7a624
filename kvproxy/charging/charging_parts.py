"""The parts of the market that charging needs, as small protocols: prices, ledger, grants, quotes, payments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from kvproxy.core import Caller, HonouredQuote, QuoteBasis
from kvproxy.errors import PaymentRequired
from kvproxy.ledger.bookings import Balance, HoldRequest, SpendingLimit
from kvproxy.ledger.hold import Hold
from kvproxy.payments.payment_method import Authorisation, PaymentDemand
from kvproxy.tariffs import DocumentTerms, Tariff


class PriceHistory(Protocol):
    """``kvproxy.tariffs.Tariffs``: lookups in memory."""

    def at(self, ms: int) -> Tariff | None:
        """Return the tariff that is valid at ``ms``; None: requests are free."""

    def by_id(self, tariff_id: str) -> Tariff | None:
        """Return a tariff of any time."""


class TermsLookup(Protocol):
    """``kvproxy.tariffs.TermsBook``."""

    def terms(self, document_id: str, publisher: str) -> DocumentTerms:
        """Return the terms of a document that are valid now. A lookup in memory."""

    def known(self, terms_id: str) -> DocumentTerms | None:
        """Return terms that are in memory."""

    def by_id(self, terms_id: str) -> DocumentTerms | None:
        """Return terms of any time. May block."""


class GrantTerms(Protocol):
    """A grant, as far as it prices a read."""

    @property
    def terms(self) -> str | None:
        """Id of the terms that count instead of the document's own."""


class GrantLookup(Protocol):
    """``kvproxy.accounts.grants.Grants``: a lookup in memory."""

    def get(self, id: str) -> GrantTerms:
        """Return a grant. Raises AccountNotFound."""


class BudgetLookup(Protocol):
    """``kvproxy.accounts.accounts.Accounts``: a lookup in memory."""

    def budgets_of(self, caller: Caller) -> tuple[SpendingLimit, ...]:
        """Return the budgets that count for a caller."""


class HoldingLedger(Protocol):
    """``kvproxy.ledger.ledger.Ledger``, as far as requests need it."""

    @property
    def currency(self) -> str:
        """The one currency of the ledger."""

    async def hold(self, request: HoldRequest) -> Hold:
        """Set aside the most that a request may cost. Raises PaymentRequired, QuotaExceeded."""

    async def balance(self, tenant: str) -> Balance:
        """Return a tenant's balance."""


class MadeQuote(Protocol):
    """A signed quote."""

    @property
    def body(self) -> Mapping[str, Any]:
        """The quote as it is sent."""


class QuoteHonouring(Protocol):
    """``kvproxy.catalog.signed_quotes.Quotes``."""

    def make(self, basis: QuoteBasis, caller: Caller, now_ms: int) -> MadeQuote:
        """Sign a quote for one reader."""

    async def honour(self, jws: str, caller: Caller, now_ms: int, request_id: str = "") -> HonouredQuote:
        """Check a quote and use it up. Raises SignatureRefused, PermissionDenied, PaymentRequired, AlreadyUsed."""

    async def give_back(self, jti: str) -> None:
        """Let a quote be used again: its request failed."""


class RequestPayments(Protocol):
    """``kvproxy.payments.payment_registry.Payments``."""

    async def authorise(
        self, headers: Mapping[str, str], need_nano: int, quote: PaymentDemand
    ) -> Authorisation | None:
        """Check the payment in a request's headers; None where they carry none."""

    async def required(
        self, quote: PaymentDemand, message: str, body: Mapping[str, Any] | None = None
    ) -> PaymentRequired:
        """Return the 402 for a demand, with the ways to pay."""

"""`Booking`, `HoldRequest` and the rows that follow from them: plain values between requests and the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from kvproxy.core.callers import Caller
from kvproxy.core.charges import Charge, MeteredTokens

Period = Literal["minute", "day", "month"]
RequestKind = Literal["read", "publish", "storage"]
RowKind = Literal["read", "publish", "storage", "topup", "refund"]
CreditKind = Literal["admin", "promotional", "payment"]
Outcome = Literal["complete", "left"]

HOST = "host"
"""The account of the host."""

PROMOTIONAL = "promotional"
"""The account that promotional credit comes from."""

PAYMENTS = "external:payment"
"""The account of the world outside that payments come from."""

SOURCES: dict[CreditKind, str] = {
    "admin": "external:admin",
    "promotional": PROMOTIONAL,
    "payment": PAYMENTS,
}
"""The account that a credit comes from, by its kind."""


def reader_account(tenant: str) -> str:
    """Return the account that a tenant pays its requests from."""
    return f"reader:{tenant}"


def publisher_account(tenant: str) -> str:
    """Return the account that a tenant earns on as a publisher."""
    return f"publisher:{tenant}"


class SpendingLimit(Protocol):
    """The most that a key or a tenant may use in each period; None: not limited. ``kvproxy.accounts`` has them."""

    @property
    def subject(self) -> str:
        """``tenant:alice``, or ``key:`` with the key's id."""

    @property
    def period(self) -> Period:
        """The length of the period. Periods begin at whole minutes, days and months of UTC."""

    @property
    def tokens(self) -> int | None:
        """Tokens of prompts and answers together."""

    @property
    def nano(self) -> int | None:
        """Nano-units of the ledger's currency."""

    @property
    def requests(self) -> int | None:
        """Requests that were answered."""


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """The most that a request may cost, to be set aside before its work begins."""

    request_id: str
    """The server's own id of the request, never a client's choice: a booking happens once for each."""
    caller: Caller
    nano: int
    """The price of a miss with the longest answer. 0 always succeeds, unless a budget is used up."""
    tokens: int = 0
    """The most tokens of prompt and answer, for budgets."""
    budgets: tuple[SpendingLimit, ...] = ()


@dataclass(frozen=True, slots=True)
class Booking:
    """The settlement of one request: its tokens and its charge."""

    request_id: str
    at_ms: int
    tenant: str
    key: str | None
    metered: MeteredTokens
    charge: Charge
    kind: RequestKind = "read"
    seconds_saved_us: int = 0
    """Microseconds of prefill that the hit saved."""
    fingerprint: str = ""
    """The engine's fingerprint, which names what computed the answer."""
    settled_by: str | None = None
    """Id of the payment that pays for this request alone; None: the tenant's balance does."""
    outcome: Outcome = "complete"
    """``left`` when the client went away before the end of the answer."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A change of one account's balance, in nano-units."""

    account: str
    nano: int


@dataclass(frozen=True, slots=True)
class RowContent:
    """The content of a row before it has its place in the chain."""

    id: str
    """The request's id, or ``credit:`` or ``refund:`` with what it belongs to. Unique in the ledger."""
    kind: RowKind
    at_ms: int
    reader: str
    """The tenant that pays, or is paid back."""
    key: str | None
    metered: MeteredTokens
    """All zero for a top-up."""
    charge: Charge
    """All zero for a top-up; for a refund the negative of the charge that it takes back."""
    entries: tuple[LedgerEntry, ...]
    seconds_saved_us: int = 0
    fingerprint: str = ""
    settled_by: str | None = None
    outcome: Outcome = "complete"
    reference: str = ""
    """The reason or the reference of a top-up or a refund."""
    refunds: str | None = None
    """Id of the row that this one takes back."""

    @property
    def model(self) -> str:
        """The model that was asked."""
        return self.metered.model

    @property
    def tariff(self) -> str:
        """Id of the tariff that the charge follows from."""
        return self.charge.tariff


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow(RowContent):
    """One row of the chain."""

    seq: int
    """Its place: 1 for the first, without a gap."""
    body: str
    """Canonical JSON (RFC 8785) of everything above."""
    previous: str
    """Hex of the hash of the row before."""
    hash: str
    """Hex of sha256 over the previous hash's 32 bytes and the body in UTF-8."""


@dataclass(frozen=True, slots=True)
class Balance:
    """A tenant's balance as this process knows it: settled requests that are not booked yet are taken off."""

    nano: int
    held: int
    """Nano-units held by requests that are running in this process."""
    credit: int | None
    """The nano-units by which the balance may fall below zero; None: without limit."""
    earned: int = 0
    """The balance of the tenant's account as a publisher."""

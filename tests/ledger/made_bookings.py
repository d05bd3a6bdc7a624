"""Bookings for tests: reads of one publisher's document, priced by a small tariff of their own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from kvproxy.core.callers import Caller
from kvproxy.core.charges import Charge, DocumentCharge, DocumentTokens, MeteredTokens
from kvproxy.database.database import Database
from kvproxy.ledger.batch_booking import OnBooked
from kvproxy.ledger.bookings import Booking, HoldRequest, LedgerRow, Period, SpendingLimit
from kvproxy.ledger.lease_sql import tenant_credit
from kvproxy.ledger.ledger_clerk import LedgerClerk, LedgerPlan

PRICES = {"tariff-1": 100, "tariff-2": 70}
"""Nano-units for a token, by tariff; a cached one costs a tenth, and half of that is the publisher's."""

NOW_MS = 1_790_000_000_000


def caller(tenant: str = "alice", key: str | None = "key-1") -> Caller:
    return Caller(tenant, f"tenant:{tenant}", key=key)


def metered(
    *, cached: int = 0, fresh: int = 0, completion: int = 0, publisher: str = "paula"
) -> MeteredTokens:
    read = DocumentTokens("handbook@1", "e" * 64, publisher, cached, "terms-1")
    return MeteredTokens("tiny", cached + fresh, cached, completion, (read,) if cached else ())


def price(tokens: MeteredTokens, tariff: str = "tariff-1") -> Charge:
    """Price tokens by the small tariff."""
    full = PRICES[tariff]
    priced = tuple(
        DocumentCharge(read, read.tokens * full // 10, read.tokens * full // 20) for read in tokens.documents
    )
    plain = tokens.prompt_tokens - tokens.document_tokens + tokens.completion_tokens
    cost = plain * full + sum(d.price for d in priced)
    cold = (tokens.prompt_tokens + tokens.completion_tokens) * full
    shares = sum(d.publisher_share for d in priced)
    return Charge("USD", cost, cold, cost - shares, priced, tariff)


def reprice(row: LedgerRow) -> Charge | None:
    return price(row.metered, row.tariff) if row.tariff in PRICES else None


def booking(
    id: str, tokens: MeteredTokens | None = None, *, tenant: str = "alice", tariff: str = "tariff-1"
) -> Booking:
    tokens = tokens if tokens is not None else metered(cached=20, fresh=5, completion=3)
    return Booking(
        request_id=id,
        at_ms=NOW_MS,
        tenant=tenant,
        key="key-1",
        metered=tokens,
        charge=price(tokens, tariff),
        seconds_saved_us=tokens.cached_tokens * 7,
        fingerprint="f" * 16,
    )


def hold_request(
    id: str,
    nano: int = 10_000,
    *,
    tenant: str = "alice",
    tokens: int = 0,
    budgets: tuple[SpendingLimit, ...] = (),
) -> HoldRequest:
    return HoldRequest(id, caller(tenant), nano, tokens, budgets)


@dataclasses.dataclass(frozen=True)
class Limit:
    """A budget as ``kvproxy.accounts`` has them."""

    subject: str
    period: Period
    tokens: int | None = None
    nano: int | None = None
    requests: int | None = None


def a_clerk(
    database: Database,
    folder: Path,
    *,
    credit: int | None = 0,
    now_ms: int = NOW_MS,
    on_booked: OnBooked | None = None,
) -> LedgerClerk:
    """An open clerk, without a thread."""
    clerk = LedgerClerk(database, folder, LedgerPlan("USD", tenant_credit(credit), lambda: now_ms, on_booked))
    clerk.open()
    return clerk


def crash(clerk: LedgerClerk) -> None:
    """End a clerk as kill -9 does: the kernel drops its lock, and its files stay as they are."""
    assert clerk._lock is not None
    clerk._lock.forsake()
    clerk._lock = None

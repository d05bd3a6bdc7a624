"""Types of one's own usage, of a publisher's reads, of balances and of credits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, ValidationError
from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.core import parse_nano
from kvproxy.errors import InvalidRequest
from kvproxy.ledger.bookings import Balance, LedgerRow
from kvproxy.wire.bodies.strict import Strict
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.market.quote_types import MoneyBody, money_body


class KvUsedDocument(TypedDict):
    """A document that a request read from kept pages."""

    document: str
    publisher: str
    tokens: int
    price: MoneyBody


class KvUsage(TypedDict):
    """One row of the ledger that concerns the reader: a request, a top-up or a refund.

    ``paid`` is below zero where the balance grew; ``id`` is the answer's request id, ``refunds`` that of the row that
    a refund takes back. ``hash`` is the row's in the ledger's chain.
    """

    object: Literal["kv_usage"]
    seq: int
    id: str
    kind: str
    created: int
    key: str | None
    model: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    paid: MoneyBody
    cold: MoneyBody
    saved_us: int
    tariff: str
    outcome: str
    documents: list[KvUsedDocument]
    reference: str
    refunds: str | None
    hash: str


class KvUsageList(TypedDict):
    """A page of the caller's rows, the oldest first. ``after`` of the next page is ``last_seq``."""

    object: Literal["list"]
    data: list[KvUsage]
    has_more: bool
    last_seq: int | None


class KvRead(TypedDict):
    """A read of one of the publisher's documents; ``reader`` is the name that its receipts have too. A refund's amounts
    and tokens are below zero."""

    object: Literal["kv_read"]
    seq: int
    kind: str
    created: int
    reader: str
    document: str
    model: str
    tokens: int
    price: MoneyBody
    publisher_share: MoneyBody
    tariff: str
    terms: str


class KvReadList(TypedDict):
    """A page of the reads of the caller's documents, the oldest first; a request may have several."""

    object: Literal["list"]
    data: list[KvRead]
    has_more: bool
    last_seq: int | None


class KvBalance(TypedDict):
    """A tenant's money. ``credit`` is how far the balance may go below zero, null without a limit; ``held`` is held by
    requests in progress, ``earned`` what its documents have earned."""

    object: Literal["kv_balance"]
    tenant: str
    balance: MoneyBody
    held: MoneyBody
    credit: MoneyBody | None
    earned: MoneyBody


class KvCredit(TypedDict):
    """A credit that is booked."""

    object: Literal["kv_credit"]
    id: str
    tenant: str
    credited: MoneyBody
    balance: MoneyBody


class CreditBody(Strict):
    """An amount for a tenant's balance."""

    tenant: str = Field(min_length=1, max_length=64, description="A tenant's name.")
    amount: str = Field(
        max_length=24, description='A decimal of the host\'s currency as text, like "5" or "0.25".'
    )
    kind: Literal["admin", "promotional"] = Field("admin", description="The account that it comes from.")
    reference: str = Field("", max_length=200, description="A remark, such as an invoice's number.")
    id: str | None = Field(
        None, min_length=1, max_length=200, description="Books once: send the same one with a retry."
    )

    def nano(self) -> int:
        """Return the amount in nano-units. Raises InvalidRequest."""
        try:
            return parse_nano(self.amount)
        except ValueError as e:
            raise InvalidRequest(f"Invalid 'amount': {e}.", param="amount") from e


def parse_credit(body: dict[str, Any]) -> CreditBody:
    """Return the credit that a body asks for. Raises InvalidRequest."""
    try:
        return CreditBody.model_validate(body)
    except ValidationError as e:
        raise invalid(e) from e


def kv_usage(row: LedgerRow) -> KvUsage:
    """Return a row as its reader sees it."""
    currency, charge = row.charge.currency, row.charge
    own = f"reader:{row.reader}"
    paid = charge.cost if row.kind != "topup" else -sum(e.nano for e in row.entries if e.account == own)
    if row.refunds is not None and not charge.cost:
        paid = -sum(e.nano for e in row.entries if e.account == own)
    return {
        "object": "kv_usage",
        "seq": row.seq,
        "id": row.id,
        "kind": row.kind,
        "created": row.at_ms // 1000,
        "key": row.key,
        "model": row.model,
        "prompt_tokens": row.metered.prompt_tokens,
        "cached_tokens": row.metered.cached_tokens,
        "completion_tokens": row.metered.completion_tokens,
        "paid": money_body(paid, currency),
        "cold": money_body(charge.cold_cost, currency),
        "saved_us": row.seconds_saved_us,
        "tariff": row.tariff,
        "outcome": row.outcome,
        "documents": [
            {
                "document": d.read.document,
                "publisher": d.read.publisher,
                "tokens": d.read.tokens,
                "price": money_body(d.price, currency),
            }
            for d in charge.documents
        ],
        "reference": row.reference,
        "refunds": row.refunds,
        "hash": row.hash,
    }


def kv_reads(row: LedgerRow, publisher: str, reader_name: Callable[[str, str], str]) -> list[KvRead]:
    """Return the reads of a publisher's documents in a row; it learns neither the reader's tenant nor other documents.

    Example:
        ``kv_reads(row, "acme", pseudonyms.reader)``
    """
    currency = row.charge.currency
    return [
        {
            "object": "kv_read",
            "seq": row.seq,
            "kind": row.kind,
            "created": row.at_ms // 1000,
            "reader": reader_name(row.reader, publisher),
            "document": d.read.document,
            "model": row.model,
            "tokens": d.read.tokens,
            "price": money_body(d.price, currency),
            "publisher_share": money_body(d.publisher_share, currency),
            "tariff": row.tariff,
            "terms": d.read.terms,
        }
        for d in row.charge.documents
        if d.read.publisher == publisher
    ]


def kv_balance(tenant: str, balance: Balance, currency: str) -> KvBalance:
    """Return a tenant's balance.

    Example:
        ``kv_balance("alice", await ledger.balance("alice"), "USD")``
    """
    return {
        "object": "kv_balance",
        "tenant": tenant,
        "balance": money_body(balance.nano, currency),
        "held": money_body(balance.held, currency),
        "credit": None if balance.credit is None else money_body(balance.credit, currency),
        "earned": money_body(balance.earned, currency),
    }

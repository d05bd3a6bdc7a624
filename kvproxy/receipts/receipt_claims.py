"""`receipt_claims`: the claims of the receipt for one document in one request, a pure function of what was booked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

from kvproxy.core import Charge, DocumentCharge, MeteredTokens, format_nano

RECEIPT_TYP = "kvproxy-receipt+jws"
"""The ``typ`` of a receipt's header."""


class ReceiptNames(Protocol):
    """The names in a receipt that tell its publisher no more than he needs: see ``reader_pseudonyms``."""

    def reader(self, reader: str, publisher: str) -> str:
        """Return the reader's name for this publisher."""

    def receipt(self, request_id: str, index: int) -> str:
        """Return the receipt's id."""


@dataclass(frozen=True, slots=True)
class BookedRead:
    """The part of a ledger row that receipts are made of."""

    request_id: str
    """The server's own id of the request: the answer's ``id``."""
    at_ms: int
    reader: str
    """The reader's tenant."""
    metered: MeteredTokens
    charge: Charge
    fingerprint: str
    """The engine fingerprint."""
    refunds: str | None = None
    """The request that this row takes back, with negative amounts; None for a read."""


def request_commitment(request_id: str, publisher: str) -> str:
    """Return the request's name in this publisher's receipts, 64 hex digits.

    Who knows the request id, which is the answer's ``id``, recognises the receipt by it. Two publishers whose
    documents one request read cannot join their receipts by it, as long as the id itself is random.
    """
    return hashlib.sha256(f"kvproxy request\n{publisher}\n{request_id}".encode()).hexdigest()


def receipt_claims(booked: BookedRead, index: int, *, host: str, names: ReceiptNames) -> dict[str, Any]:
    """Return the claims of the receipt for ``booked.charge.documents[index]``.

    Amounts are decimal text: a number of JSON is exact to 2**53 only. The time is cut to the second, so that a
    publisher's log does not pin a request down more than it must.

    Example:
        ``receipt_claims(booked, 0, host="kv.example", names=names)["price"]``
    """
    charge: DocumentCharge = booked.charge.documents[index]
    read = charge.read
    claims: dict[str, Any] = {
        "id": names.receipt(booked.request_id, index),
        "iss": host,
        "iat": booked.at_ms // 1000,
        "request": request_commitment(booked.refunds or booked.request_id, read.publisher),
        "reader": names.reader(booked.reader, read.publisher),
        "publisher": read.publisher,
        "document": read.document,
        "sha256": read.etag,
        "model": booked.metered.model,
        "fingerprint": booked.fingerprint,
        "tokens": read.tokens,
        "by_reference": read.by_reference,
        "currency": booked.charge.currency,
        "price": format_nano(charge.price),
        "publisher_share": format_nano(charge.publisher_share),
        "host_share": format_nano(charge.price - charge.publisher_share),
        "tariff": booked.charge.tariff,
        "terms": read.terms,
    }
    if booked.refunds is not None:
        claims["refunds"] = names.receipt(booked.refunds, index)
    return claims

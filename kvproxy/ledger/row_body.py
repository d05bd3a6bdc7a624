"""Rows of the chain: their canonical body, their hash, and the entries that follow from a charge. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, replace
from typing import Any

from kvproxy.core.charges import Charge, DocumentCharge, DocumentTokens, MeteredTokens
from kvproxy.core.money import MOST_NANO
from kvproxy.ledger.bookings import (
    HOST,
    PAYMENTS,
    Booking,
    LedgerEntry,
    LedgerRow,
    RowContent,
    publisher_account,
    reader_account,
)

GENESIS = "0" * 64
"""The hash before the first row."""

_READ_FIELDS = ("document", "etag", "publisher", "tokens", "terms", "by_reference", "grant")


def row_hash(previous: str, body: str) -> str:
    """Return the hash of a row: sha256 over the previous hash's bytes and the body."""
    return hashlib.sha256(bytes.fromhex(previous) + body.encode()).hexdigest()


def canonical(value: object) -> str:
    """Return JSON as RFC 8785 writes it, of texts, whole numbers below 2**53 and names in ASCII.

    Within those bounds Python's own encoder writes the same, at a tenth of the cost; a test compares the two.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_of(booking: Booking) -> RowContent:
    """Return the row that a settled request becomes. Raises ValueError for a charge that does not add up."""
    return RowContent(
        id=booking.request_id,
        kind=booking.kind,
        at_ms=booking.at_ms,
        reader=booking.tenant,
        key=booking.key,
        metered=booking.metered,
        charge=booking.charge,
        entries=entries_of(booking.charge, payer_of(booking)),
        seconds_saved_us=booking.seconds_saved_us,
        fingerprint=booking.fingerprint,
        settled_by=booking.settled_by,
        outcome=booking.outcome,
    )


def payer_of(row: Booking | RowContent) -> str:
    """Return the account that pays: the tenant's, or that of payments where one was made for this request alone."""
    tenant = row.tenant if isinstance(row, Booking) else row.reader
    return reader_account(tenant) if row.settled_by is None else PAYMENTS


def entries_of(charge: Charge, payer: str) -> tuple[LedgerEntry, ...]:
    """Return a charge's entries: the payer's, the publishers' and the host's, without those of nothing.

    Raises ValueError when the parts are not the whole, or are out of range.
    """
    shares: dict[str, int] = {}
    for priced in charge.documents:
        account = publisher_account(priced.read.publisher)
        shares[account] = shares.get(account, 0) + priced.publisher_share
    parts = (charge.cost, charge.host_share, *shares.values())
    if charge.cost != charge.host_share + sum(shares.values()):
        raise ValueError(f"the parts of a charge of {charge.cost} are {charge.host_share} and {shares}")
    if not (all(0 <= part <= MOST_NANO for part in parts) or all(-MOST_NANO <= part <= 0 for part in parts)):
        raise ValueError(f"a charge of {parts} is out of range")
    amounts = {payer: -charge.cost, **shares, HOST: charge.host_share}
    return tuple(LedgerEntry(account, nano) for account, nano in amounts.items() if nano)


def body_of(content: RowContent, seq: int) -> str:
    """Return the canonical body of the row at place ``seq``. Amounts are texts: JSON's numbers end at 2**53."""
    metered, charge = content.metered, content.charge
    return canonical(
        {
            "at_ms": content.at_ms,
            "charge": {
                "cold_cost": str(charge.cold_cost),
                "cost": str(charge.cost),
                "currency": charge.currency,
                "documents": [
                    {**_read(d.read), "price": str(d.price), "publisher_share": str(d.publisher_share)}
                    for d in charge.documents
                ],
                "host_share": str(charge.host_share),
                "tariff": charge.tariff,
            },
            "entries": [[entry.account, str(entry.nano)] for entry in content.entries],
            "fingerprint": content.fingerprint,
            "id": content.id,
            "key": content.key,
            "kind": content.kind,
            "metered": {
                "cached_tokens": metered.cached_tokens,
                "completion_tokens": metered.completion_tokens,
                "documents": [_read(read) for read in metered.documents],
                "model": metered.model,
                "prompt_tokens": metered.prompt_tokens,
            },
            "outcome": content.outcome,
            "reader": content.reader,
            "reference": content.reference,
            "refunds": content.refunds,
            "seconds_saved_us": content.seconds_saved_us,
            "seq": seq,
            "settled_by": content.settled_by,
        }
    )


def _read(read: DocumentTokens) -> dict[str, Any]:
    return dict(zip(_READ_FIELDS, astuple(read), strict=True))


def chained(content: RowContent, seq: int, previous: str) -> LedgerRow:
    """Return the row of ``content`` at place ``seq`` behind the row whose hash is ``previous``.

    Example:
        ``chained(content_of(booking), 1, GENESIS)``
    """
    body = body_of(content, seq)
    values = {name: getattr(content, name) for name in RowContent.__slots__}
    return LedgerRow(**values, seq=seq, body=body, previous=previous, hash=row_hash(previous, body))


def read_row(body: str, previous: str, own_hash: str) -> LedgerRow:
    """Return the row that a stored body says. Raises ValueError for a body that is none.

    Example:
        ``read_row(stored.body, stored.previous, stored.hash).charge.cost``
    """
    try:
        return _row(json.loads(body), body, previous, own_hash)
    except (KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"no body of a ledger's row: {e!r}") from e


def _row(value: dict[str, Any], body: str, previous: str, own_hash: str) -> LedgerRow:
    metered, charge = value["metered"], value["charge"]
    return LedgerRow(
        id=value["id"],
        kind=value["kind"],
        at_ms=value["at_ms"],
        reader=value["reader"],
        key=value["key"],
        metered=MeteredTokens(
            model=metered["model"],
            prompt_tokens=metered["prompt_tokens"],
            cached_tokens=metered["cached_tokens"],
            completion_tokens=metered["completion_tokens"],
            documents=tuple(DocumentTokens(**read) for read in metered["documents"]),
        ),
        charge=Charge(
            currency=charge["currency"],
            cost=int(charge["cost"]),
            cold_cost=int(charge["cold_cost"]),
            host_share=int(charge["host_share"]),
            documents=tuple(_priced(d) for d in charge["documents"]),
            tariff=charge["tariff"],
        ),
        entries=tuple(LedgerEntry(account, int(nano)) for account, nano in value["entries"]),
        seconds_saved_us=value["seconds_saved_us"],
        fingerprint=value["fingerprint"],
        settled_by=value["settled_by"],
        outcome=value["outcome"],
        reference=value["reference"],
        refunds=value["refunds"],
        seq=value["seq"],
        body=body,
        previous=previous,
        hash=own_hash,
    )


def _priced(value: dict[str, Any]) -> DocumentCharge:
    read = DocumentTokens(**{name: value[name] for name in _READ_FIELDS})
    return DocumentCharge(read, int(value["price"]), int(value["publisher_share"]))


def taken_back(row: LedgerRow, *, at_ms: int, reason: str) -> RowContent:
    """Return the row that reverses ``row``: every amount and every count of it negative, so that sums are without it.

    Example:
        ``taken_back(row, at_ms=now, reason="the answer was cut off")``
    """
    metered, charge = row.metered, row.charge
    return RowContent(
        id=f"refund:{row.id}",
        kind="refund",
        at_ms=at_ms,
        reader=row.reader,
        key=row.key,
        metered=MeteredTokens(
            model=metered.model,
            prompt_tokens=-metered.prompt_tokens,
            cached_tokens=-metered.cached_tokens,
            completion_tokens=-metered.completion_tokens,
            documents=tuple(replace(read, tokens=-read.tokens) for read in metered.documents),
        ),
        charge=Charge(
            currency=charge.currency,
            cost=-charge.cost,
            cold_cost=-charge.cold_cost,
            host_share=-charge.host_share,
            documents=tuple(
                DocumentCharge(replace(d.read, tokens=-d.read.tokens), -d.price, -d.publisher_share)
                for d in charge.documents
            ),
            tariff=charge.tariff,
        ),
        entries=tuple(LedgerEntry(entry.account, -entry.nano) for entry in row.entries),
        seconds_saved_us=-row.seconds_saved_us,
        settled_by=row.settled_by,
        reference=reason,
        refunds=row.id,
    )

"""Records of the journal: one checksummed line for each settled request."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

from kvproxy.core.charges import Charge, DocumentCharge, DocumentTokens, MeteredTokens
from kvproxy.ledger.bookings import Booking

_NUL = "\x00"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class JournalContent:
    """The bookings that a journal's bytes hold, and how many lines before the last are damaged."""

    bookings: tuple[Booking, ...]
    damaged: int


def write_record(booking: Booking) -> bytes:
    """Return the line of a booking. Text that no database takes (a lone surrogate, NUL) is replaced."""
    m, c = booking.metered, booking.charge
    fields = [
        _VERSION,
        *(booking.request_id, booking.at_ms, booking.tenant, booking.key, booking.kind, booking.outcome),
        *(booking.seconds_saved_us, booking.fingerprint, booking.settled_by),
        *(m.model, m.prompt_tokens, m.cached_tokens, m.completion_tokens, [_read(r) for r in m.documents]),
        *(c.currency, c.cost, c.cold_cost, c.host_share, c.tariff),
        [[_read(d.read), d.price, d.publisher_share] for d in c.documents],
    ]
    data = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    return b"%08x %s\n" % (zlib.crc32(data), data)


def _read(read: DocumentTokens) -> list[object]:
    return [read.document, read.etag, read.publisher, read.tokens, read.terms, read.by_reference, read.grant]


def read_record(line: bytes) -> Booking:
    """Return the booking of a line, without its end. Raises ValueError for a damaged one."""
    checksum, _, data = line.partition(b" ")
    if len(checksum) != 8 or int(checksum, 16) != zlib.crc32(data):
        raise ValueError("its checksum is wrong")
    values = json.loads(data, object_hook=None)
    if values[0] != _VERSION:
        raise ValueError(f"its format {values[0]} is unknown")
    return _booking(_storable(values))


def _booking(values: list[Any]) -> Booking:
    _, request_id, at_ms, tenant, key, kind, outcome, saved_us, fingerprint, settled_by, *rest = values
    model, prompt, cached, completion, documents, currency, cost, cold, host, tariff, priced = rest
    return Booking(
        request_id=request_id,
        at_ms=at_ms,
        tenant=tenant,
        key=key,
        metered=MeteredTokens(
            model, prompt, cached, completion, tuple(DocumentTokens(*read) for read in documents)
        ),
        charge=Charge(
            currency=currency,
            cost=cost,
            cold_cost=cold,
            host_share=host,
            documents=tuple(
                DocumentCharge(DocumentTokens(*read), price, share) for read, price, share in priced
            ),
            tariff=tariff,
        ),
        kind=kind,
        seconds_saved_us=saved_us,
        fingerprint=fingerprint,
        settled_by=settled_by,
        outcome=outcome,
    )


def _storable(value: Any) -> Any:
    """Replace NUL in all texts: PostgreSQL stores none, and one such record must not hold up the others."""
    if isinstance(value, str):
        return value.replace(_NUL, "\ufffd") if _NUL in value else value
    return [_storable(item) for item in value] if isinstance(value, list) else value


def read_journal(data: bytes) -> JournalContent:
    """Return the bookings of a journal's bytes, up to the first NUL: the rest of a file was never written to.

    A torn last line is no damage: its request was not settled, since nothing more was sent after it.
    """
    lines = data.partition(b"\x00")[0].split(b"\n")
    bookings, damaged = [], 0
    for line in lines[:-1]:
        try:
            bookings.append(read_record(line))
        except (ValueError, TypeError, IndexError):
            damaged += 1
    return JournalContent(tuple(bookings), damaged)

"""`book_batch`: settled requests into the chain, in one transaction, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from kvproxy.database.database import Database
from kvproxy.ledger.booking_sql import append_rows, count_used, known_ids, lock_head
from kvproxy.ledger.bookings import Booking
from kvproxy.ledger.database_faults import REFUSED
from kvproxy.ledger.journal_records import read_record, write_record
from kvproxy.ledger.lease_sql import own_leases, take_leases
from kvproxy.ledger.refused_bookings import set_aside
from kvproxy.ledger.row_body import content_of

OnBooked = Callable[[Connection, Sequence[Booking]], None]
"""Called within the transaction with the bookings that were not in the ledger before: counts uses of grants."""


@dataclass(frozen=True, slots=True)
class BookedBatch:
    """The result of booking a batch."""

    first: frozenset[str]
    """Request ids that were not booked before."""
    leases: dict[str, int]
    """The process's leases of the tenants that paid, afterwards."""


def book_batch(
    database: Database, process: str, bookings: Sequence[Booking], on_booked: OnBooked | None = None
) -> BookedBatch:
    """Book settled requests of ``process``; those whose id is booked are left out. All or nothing.

    Example:
        ``book_batch(database, process, [booking]).first``
    """
    with database.transaction() as db:
        end = lock_head(db)
        known = known_ids(db, [booking.request_id for booking in bookings])
        fresh: dict[str, Booking] = {}
        for booking in bookings:
            if booking.request_id not in known:
                fresh.setdefault(booking.request_id, booking)
        new = list(fresh.values())
        append_rows(db, end, [content_of(booking) for booking in new])
        count_used(db, new)
        take_leases(db, process, _costs(new))
        if on_booked is not None and new:
            on_booked(db, new)
        return BookedBatch(frozenset(fresh), own_leases(db, process, [t for t, _ in _costs(bookings)]))


def book_or_set_aside(
    database: Database,
    process: str,
    bookings: Sequence[Booking],
    *,
    folder: Path,
    on_booked: OnBooked | None = None,
) -> BookedBatch:
    """Book a batch; one with a record that no database takes, record by record, and that one into a file in ``folder``.

    Example:
        ``book_or_set_aside(database, process, [booking], folder=folder)``
    """
    try:
        return book_batch(database, process, bookings, on_booked)
    except REFUSED as e:
        if len(bookings) == 1:
            set_aside(folder, bookings[0], str(e))
            return BookedBatch(frozenset(), {})
    first: set[str] = set()
    leases: dict[str, int] = {}
    for booking in bookings:
        # As its record has it, without text that cannot be stored.
        stored = read_record(write_record(booking).rstrip(b"\n"))
        booked = book_or_set_aside(database, process, [stored], folder=folder, on_booked=on_booked)
        first |= booked.first
        leases |= booked.leases
    return BookedBatch(frozenset(first), leases)


def _costs(bookings: Iterable[Booking]) -> list[tuple[str, int]]:
    sums: dict[str, int] = {}
    for booking in bookings:
        if booking.settled_by is None and booking.charge.cost:
            sums[booking.tenant] = sums.get(booking.tenant, 0) + booking.charge.cost
    return sorted(sums.items())

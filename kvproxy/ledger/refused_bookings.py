"""Settled requests that the database refuses, kept in a file: one of them must not hold up the others."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from kvproxy.ledger.bookings import Booking
from kvproxy.ledger.journal_records import write_record

logger = logging.getLogger(__name__)

REFUSED_FILE = "refused.records"


def set_aside(folder: Path, booking: Booking, why: str) -> None:
    """Append a booking to the file of refused ones, on the disk when this returns.

    Example:
        ``set_aside(folder, booking, "out of range")``
    """
    with (folder / REFUSED_FILE).open("ab") as file:
        file.write(write_record(booking))
        file.flush()
        os.fsync(file.fileno())
    logger.error(
        "ledger: request %s cannot be booked (%s); its record is in %s",
        booking.request_id,
        why,
        folder / REFUSED_FILE,
    )


def count_refused(folder: Path) -> int:
    """Return how many refused bookings ``folder`` holds."""
    try:
        return (folder / REFUSED_FILE).read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0

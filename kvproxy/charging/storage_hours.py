"""`book_storage_hours`: the background task that books the storage of each publisher's pages, once for each hour."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from kvproxy.charging.hosting_charges import HOUR_MS, HostingCharges
from kvproxy.charging.publish_charges import StoredDocument
from kvproxy.ledger.ledger import unix_ms

logger = logging.getLogger(__name__)

_LATE_S = 5.0
"""Seconds after an hour's end: the clocks of two hosts on one database differ a little."""


async def book_storage_hours(
    hosting: HostingCharges,
    documents: Callable[[], Iterable[StoredDocument]],
    *,
    clock_ms: Callable[[], int] = unix_ms,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Book the hour before, at the start and after each hour's end, until cancelled.

    ``documents`` is called on a worker thread.
    An hour at whose end nothing ran is booked by the next start, if that is within the hour after; what was not kept
    by a running host for longer than that is free. A failure is logged, and the hour is tried again with the next.

    Example: ``background.start(book_storage_hours(hosting, publisher.stored))``
    """
    booked = clock_ms() // HOUR_MS - 2
    while True:
        try:
            while booked < clock_ms() // HOUR_MS - 1:
                await hosting.book_hour(documents, booked + 1)
                booked += 1
        except Exception:  # a database that is away for a while must not end the task
            logger.exception("the storage of hour %d could not be booked yet", booked + 1)
        left_ms = HOUR_MS - clock_ms() % HOUR_MS
        await sleep(left_ms / 1000 + _LATE_S)

"""`count_grant_uses`: the uses of grants, counted in the transaction that books their reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sqlalchemy import Connection

from kvproxy.ledger.bookings import Booking


class NotesUses(Protocol):
    """``kvproxy.accounts.grants.Grants``."""

    def note_use(self, db: Connection, grant_id: str, tokens: int, nano: int) -> None:
        """Count one read by a grant."""


def count_grant_uses(grants: NotesUses) -> Callable[[Connection, Sequence[Booking]], None]:
    """Return the function to call with each booked batch: ``Ledger.open(…, on_booked=count_grant_uses(grants))``.

    A request is one read of a grant, however many of its documents the grant was for.
    """

    def count(db: Connection, bookings: Sequence[Booking]) -> None:
        for booking in bookings:
            prices = {charged.read: charged.price for charged in booking.charge.documents}
            used: dict[str, tuple[int, int]] = {}
            for read in booking.metered.documents:
                if read.grant is not None:
                    tokens, nano = used.get(read.grant, (0, 0))
                    used[read.grant] = (tokens + read.tokens, nano + prices.get(read, 0))
            for grant, (tokens, nano) in sorted(used.items()):
                grants.note_use(db, grant, tokens, nano)

    return count

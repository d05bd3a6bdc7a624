"""Faults of the database, by what they mean to the ledger: it is away, or one row cannot be stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from kvproxy.errors import Unavailable

REFUSED = (exc.DataError, exc.IntegrityError, OverflowError, ValueError, TypeError)
"""Errors of one row, which will not go away: ValueError includes those of encoding."""

RETRY_S = 5


class LedgerAway(Unavailable):
    """The ledger's database cannot be reached, or cannot be written to. Status 503."""

    code = "ledger_unavailable"


@contextmanager
def away() -> Iterator[None]:
    """Turn faults of the database as a whole (no connection, disk full, locked) into LedgerAway."""
    try:
        yield
    except (exc.DataError, exc.IntegrityError):
        raise
    except (exc.DBAPIError, exc.TimeoutError, OSError) as e:
        reason = " ".join(str(getattr(e, "orig", None) or e).split())[:200]
        raise LedgerAway(
            f"The ledger cannot set money aside now ({reason}). Nothing was charged; try again later.",
            retry_after_s=RETRY_S,
        ) from e

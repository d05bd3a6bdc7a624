"""`database_away`: a database that cannot be reached or written to, as the error that a client is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from kvproxy.errors import Unavailable

RETRY_S = 5


@contextmanager
def database_away(what: str) -> Iterator[None]:
    """Raise Unavailable for faults of the database as a whole; those of a row stay as they are. ``what``: the subject
    of the message, in the plural.

    Example:
        ``with database_away("Accounts"), database.transaction() as db: ...``
    """
    try:
        yield
    except (exc.DataError, exc.IntegrityError):
        raise
    except (exc.DBAPIError, exc.TimeoutError) as e:
        reason = " ".join(str(getattr(e, "orig", None) or e).split())[:200]
        raise Unavailable(
            f"{what} cannot be changed while the database is away ({reason}). Try again later.",
            retry_after_s=RETRY_S,
        ) from e

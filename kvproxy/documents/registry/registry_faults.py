"""`registry_faults`: every fault of the registry's rows, in sentences; and the errors that stand for a database's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, TimeoutError

from kvproxy.documents.registry.registry_reading import lost_marks, read_verified
from kvproxy.documents.registry.registry_writing import check_number, is_full
from kvproxy.errors import StorageFull, Unavailable


def registry_faults(db: Connection) -> list[str]:
    """Return every fault of the registry's rows as a line of text. Changes nothing.

    Raises sqlalchemy's DBAPIError where the database itself is damaged.
    """
    found = read_verified(db)
    lost = (*found.lost, *check_number(db), *lost_marks(db))
    faults = list(dict.fromkeys(map(str, lost)))
    for entry in found.entries:
        for framing in entry.framings:
            kept = framing.kept
            if sum(page.tokens for page in kept.pages) > len(kept.token_ids):
                faults.append(
                    f"{entry.document.ref} ({framing.framing}): its pages hold more tokens than it has"
                )
    return faults


@contextmanager
def named_errors() -> Iterator[None]:
    """Raise StorageFull and Unavailable for what a database refuses."""
    try:
        yield
    except IntegrityError as e:
        raise Unavailable(
            "The document registry refused the change: another process has just changed the same version.",
            retry_after_s=1,
        ) from e
    except DBAPIError as e:
        if is_full(e):
            raise StorageFull(f"The document registry cannot grow: {e.orig}.", retry_after_s=60) from e
        raise Unavailable(f"The document registry cannot be used: {e.orig}.", retry_after_s=60) from e
    except TimeoutError as e:  # of the pool: every connection waits for a database that has become slow
        raise Unavailable(
            "The document registry cannot be used: its database is busy.", retry_after_s=5
        ) from e

"""Statements on ``stored_responses``: blocking, each within a transaction of the caller. PostgreSQL alone."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import BigInteger, Connection, delete, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert

from kvproxy.database.tables.response_tables import STORED_RESPONSES
from kvproxy.store.sealed_record import seal, unseal

ROW_BYTES = 256
"""Bytes of a row beside its key and its record, generously."""

_TRIM_LOCK = 0x6B767273
_AT_ONCE = 64
_ROWS = STORED_RESPONSES
_NOW_MS = func.cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
"""The time by the database's clock: those of several proxies may differ."""


def key_of(scope: str, id: str) -> str:
    """Return the key that a record's digest covers, as in files. No scope holds a line end."""
    return f"{scope}\n{id}"


def size_of(scope: str, id: str, record: bytes) -> int:
    """Return the bytes that a record counts for its scope.

    Example:
        ``size_of("tenant:a", "resp_1", record)``
    """
    return len(key_of(scope, id)) + ROW_BYTES + len(record)


def write_record(db: Connection, scope: str, id: str, record: bytes, ttl_ms: int) -> None:
    """Write a record in the place of one under the same key.

    Example:
        ``write_record(db, "tenant:a", "resp_1", record, ttl_ms=86_400_000)``
    """
    values = {
        "bytes": size_of(scope, id, record),
        "stored_ms": _NOW_MS,
        "expires_ms": _NOW_MS + ttl_ms,
        "record": seal(key_of(scope, id), record),
    }
    statement = insert(_ROWS).values(scope=scope, id=id, **values)
    db.execute(statement.on_conflict_do_update(index_elements=["scope", "id"], set_=values))


def read_record(db: Connection, scope: str, id: str) -> bytes | None:
    """Return a record as it lies there, under its seal; None where there is none, or its time is over.

    Example:
        ``sealed = read_record(db, "tenant:a", "resp_1")``
    """
    of_key = (_ROWS.c.scope == scope) & (_ROWS.c.id == id) & (_ROWS.c.expires_ms > _NOW_MS)
    found = db.execute(select(_ROWS.c.record).where(of_key)).scalar_one_or_none()
    return None if found is None else bytes(found)


def delete_record(db: Connection, scope: str, id: str) -> bool:
    """Delete a record; return whether there was one whose time is not over.

    Example:
        ``there = delete_record(db, "tenant:a", "resp_1")``
    """
    of_key = (_ROWS.c.scope == scope) & (_ROWS.c.id == id)
    gone = db.execute(delete(_ROWS).where(of_key).returning(_ROWS.c.expires_ms > _NOW_MS)).scalar()
    return bool(gone)


def trim_records(db: Connection, max_size: int) -> int:
    """Delete what has expired, and then the oldest records of the scope that has the most until all fit into
    ``max_size`` bytes; return the number that room was made with. One process at a time; the others pass.

    Example:
        ``dropped = trim_records(db, 2**30)``
    """
    if not db.execute(text("SELECT pg_try_advisory_xact_lock(:number)"), {"number": _TRIM_LOCK}).scalar():
        return 0
    db.execute(delete(_ROWS).where(_ROWS.c.expires_ms <= _NOW_MS))
    sums = select(_ROWS.c.scope, func.sum(_ROWS.c.bytes)).group_by(_ROWS.c.scope)
    held = {scope: int(size) for scope, size in db.execute(sums)}
    dropped = 0
    while sum(held.values()) > max_size:
        scope = max(held, key=lambda name: held[name])
        count, size = _drop_oldest(db, scope, sum(held.values()) - max_size)
        dropped += count
        held[scope] -= size
        if not count:
            del held[scope]
    return dropped


def _drop_oldest(db: Connection, scope: str, room: int) -> tuple[int, int]:
    """Delete some of a scope's oldest records, ``room`` bytes at least where it has them."""
    oldest = select(_ROWS.c.id, _ROWS.c.bytes).where(_ROWS.c.scope == scope)
    doomed, size = [], 0
    for id, taken in db.execute(oldest.order_by(_ROWS.c.stored_ms).limit(_AT_ONCE)).all():
        doomed.append((scope, id))
        size += taken
        if size >= room:
            break
    if doomed:
        db.execute(delete(_ROWS).where(tuple_(_ROWS.c.scope, _ROWS.c.id).in_(doomed)))
    return len(doomed), size


def damaged_records(db: Connection) -> Iterator[tuple[str, str]]:
    """Yield the scope and id of each record that fails its digest."""
    statement = select(_ROWS.c.scope, _ROWS.c.id, _ROWS.c.record).order_by(_ROWS.c.scope, _ROWS.c.id)
    for scope, id, record in db.execute(statement.execution_options(yield_per=_AT_ONCE)):
        if unseal(key_of(scope, id), bytes(record)) is None:
            yield scope, id

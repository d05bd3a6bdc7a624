"""`UsageRecords`: the sums of usage in the database, which all proxies on it add to. Blocking, never on the loop."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, delete, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from kvproxy.core import DocumentRef
from kvproxy.database.database import Database
from kvproxy.database.database_away import database_away
from kvproxy.database.tables.document_tables import DOCUMENT_VERSIONS
from kvproxy.database.tables.usage_tables import DOCUMENT_DAYS, USAGE_DAYS, USAGE_WRITERS
from kvproxy.errors import Unavailable
from kvproxy.telemetry.usage.document_use import DocumentDay, DocumentUse
from kvproxy.telemetry.usage.usage_store import DocumentKey, RecordedUsage, UsageKey
from kvproxy.telemetry.usage.usage_sums import UsageSums, added

ALL_DAYS = 0
"""The day of the sums of all days."""

_WRITER_DAYS = 2
"""Days until a process that has written nothing is forgotten: it asks about its last batch within seconds."""

_AT_ONCE = 200
"""Rows of one statement: SQLite takes some thousand parameters."""


class UsageRecords:
    """Implements ``UsageStore``. Safe from several threads and processes: sums are added in SQL.

    Example: ``UsageRecords(database, days=400, document_days=90).add({key: sums}, {})``
    """

    def __init__(self, database: Database, *, days: int = 400, document_days: int = 90) -> None:
        """``days``, ``document_days``: how long the days of tenants and of documents are kept; the sums of all days
        stay."""
        self._database = database
        self._days, self._document_days = days, document_days
        self._writer, self._batch = uuid.uuid4().hex, 0

    def add(self, days: Mapping[UsageKey, UsageSums], documents: Mapping[DocumentKey, DocumentUse]) -> None:
        """Add sums of days, all or nothing. Documents that are deleted are left out. Raises Unavailable, after which
        :meth:`landed` tells whether they count."""
        self._batch += 1
        today = max((*(key.day for key in days), *(key.day for key in documents)), default=0)
        with self._transaction() as db:
            db.execute(_noted(db, {"writer": self._writer, "batch": self._batch, "day": today}))
            _add_rows(db, USAGE_DAYS, _with_all_days(_usage_row(key, sums) for key, sums in days.items()))
            there = _existing(db, {(key.name, key.version) for key in documents})
            rows = (_document_row(k, use) for k, use in documents.items() if (k.name, k.version) in there)
            _add_rows(db, DOCUMENT_DAYS, _with_all_days(rows))

    def landed(self) -> bool:
        """Return whether the last addition is recorded. Raises Unavailable."""
        table = USAGE_WRITERS
        mine = select(table.c.batch).where(table.c.writer == self._writer)
        with self._snapshot() as db:
            return db.execute(mine).scalar() == self._batch

    def recorded(self, tenant: str, today: int) -> RecordedUsage:
        """Return the sums of a tenant, of all processes. Raises Unavailable.

        Example: ``records.recorded("alice", int(time.time() // DAY_S)).total.requests``
        """
        table = USAGE_DAYS
        named = select(table).where(table.c.tenant == tenant, table.c.day.in_((ALL_DAYS, today)))
        with self._snapshot() as db:
            rows = [(row["day"], _usage_sums(row)) for row in db.execute(named).mappings()]
        return RecordedUsage(
            today,
            added(sums for day, sums in rows if day == today),
            added(sums for day, sums in rows if day == ALL_DAYS),
        )

    def document_uses(self, refs: Sequence[DocumentRef], tenant: str) -> dict[DocumentRef, DocumentUse]:
        """Return the uses of versions by a reader; those without any are left out. Raises Unavailable.

        Example: ``records.document_uses([DocumentRef("handbook", 3)], "alice")``
        """
        table, by_key = DOCUMENT_DAYS, {(ref.name, ref.version): ref for ref in refs}
        found: dict[DocumentRef, DocumentUse] = {}
        with self._snapshot() as db:
            for keys in _batches(by_key):
                named = tuple_(table.c.name, table.c.version).in_(keys)
                rows = select(table).where(named, table.c.tenant == tenant, table.c.day == ALL_DAYS)
                for row in db.execute(rows).mappings():
                    ref = by_key[row["name"], row["version"]]
                    found[ref] = found.get(ref, DocumentUse()) + _document_use(row)
        return found

    def document_days(self, ref: DocumentRef, tenant: str) -> list[DocumentDay]:
        """Return the recorded days of one version, oldest first. Raises Unavailable.

        Example: ``records.document_days(DocumentRef("handbook", 3), "")``
        """
        table = DOCUMENT_DAYS
        named = (table.c.name == ref.name, table.c.version == ref.version, table.c.tenant == tenant)
        rows = select(table).where(*named, table.c.day != ALL_DAYS).order_by(table.c.day)
        with self._snapshot() as db:
            return [DocumentDay(row["day"], _document_use(row)) for row in db.execute(rows).mappings()]

    def expire(self, today: int) -> None:
        """Delete days that have been kept long enough. Raises Unavailable."""
        with self._transaction() as db:
            for table, kept in ((USAGE_DAYS, self._days), (DOCUMENT_DAYS, self._document_days)):
                db.execute(delete(table).where(table.c.day != ALL_DAYS, table.c.day <= today - kept))
            writers = USAGE_WRITERS
            gone = writers.c.day <= today - _WRITER_DAYS
            db.execute(delete(writers).where(gone, writers.c.writer != self._writer))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with _named_errors(), self._database.transaction() as db:
            yield db

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        with _named_errors(), self._database.snapshot() as db:
            yield db


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        with database_away("Usage figures"):
            yield
    except IntegrityError as e:  # a version was deleted after it was looked for
        raise Unavailable("A document was deleted while its usage was written.", retry_after_s=1) from e


def _add_rows(db: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Add each row to the one with its key, in an order that lets two processes not wait for each other."""
    keys = [column.name for column in table.primary_key.columns]
    made: Callable[..., Any] = sqlite.insert if db.dialect.name == "sqlite" else postgresql.insert
    statement = made(table)
    sums = {
        column.name: column + statement.excluded[column.name]
        for column in table.columns
        if column.name not in (*keys, "last_read")
    }
    if "last_read" in table.columns:
        before, new = table.c.last_read, statement.excluded.last_read
        later = func.max if db.dialect.name == "sqlite" else func.greatest
        sums["last_read"] = func.coalesce(later(before, new), before, new)
    if rows:
        ordered = sorted(rows, key=lambda row: [row[key] for key in keys])
        db.execute(statement.on_conflict_do_update(index_elements=keys, set_=sums), ordered)


def _noted(db: Connection, row: dict[str, Any]) -> Any:
    made: Callable[..., Any] = sqlite.insert if db.dialect.name == "sqlite" else postgresql.insert
    statement = made(USAGE_WRITERS).values(row)
    changed = {name: row[name] for name in ("batch", "day")}
    return statement.on_conflict_do_update(index_elements=["writer"], set_=changed)


def _with_all_days(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows, each once for its day and once for all days."""
    return [each for row in rows for each in (row, {**row, "day": ALL_DAYS})]


def _existing(db: Connection, keys: set[tuple[str, int]]) -> set[tuple[str, int]]:
    table = DOCUMENT_VERSIONS
    named = tuple_(table.c.name, table.c.version)
    found: set[tuple[str, int]] = set()
    for some in _batches(keys):
        rows = db.execute(select(table.c.name, table.c.version).where(named.in_(some)))
        found.update((name, version) for name, version in rows)
    return found


def _batches(keys: Iterable[tuple[str, int | None]]) -> Iterator[list[tuple[str, int | None]]]:
    each = sorted(keys, key=lambda key: (key[0], key[1] or 0))
    for first in range(0, len(each), _AT_ONCE):
        yield each[first : first + _AT_ONCE]


def _usage_row(key: UsageKey, sums: UsageSums) -> dict[str, Any]:
    return {
        **key._asdict(),
        "requests": sums.requests,
        "hits": sums.hits,
        "misses": sums.misses,
        "cold": sums.cold,
        "prompt_tokens": sums.prompt_tokens,
        "cached_tokens": sums.cached_tokens,
        "completion_tokens": sums.completion_tokens,
        "saved_us": sums.saved_us,
        "saved_nano": sums.saved.get(key.currency, 0),
    }


def _usage_sums(row: RowMapping) -> UsageSums:
    return UsageSums(
        row["requests"],
        row["hits"],
        row["misses"],
        row["prompt_tokens"],
        row["cached_tokens"],
        row["completion_tokens"],
        row["saved_us"],
        {row["currency"]: row["saved_nano"]} if row["currency"] else {},
        row["cold"],
    )


def _document_row(key: DocumentKey, use: DocumentUse) -> dict[str, Any]:
    return {
        **key._asdict(),
        "reads": use.reads,
        "misses": use.misses,
        "cached_tokens": use.cached_tokens,
        "last_read": use.last_read,
        "saved_us": use.saved_us,
        "saved_nano": use.saved.get(key.currency, 0),
    }


def _document_use(row: RowMapping) -> DocumentUse:
    return DocumentUse(
        row["reads"],
        row["misses"],
        row["cached_tokens"],
        row["last_read"],
        row["saved_us"],
        {row["currency"]: row["saved_nano"]} if row["currency"] else {},
    )

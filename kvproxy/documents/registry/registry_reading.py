"""`read_verified`: all rows of the registry in one snapshot, those that fail their digests apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.exc import OperationalError

from kvproxy.database.tables.document_tables import (
    DOCUMENT_ALIASES,
    DOCUMENT_MANIFESTS,
    DOCUMENT_PAGES,
    DOCUMENT_READS,
    DOCUMENT_TEXTS,
    DOCUMENT_VERSIONS,
)
from kvproxy.documents.registry.registry_entry import KeptFraming, RegistryEntry
from kvproxy.documents.registry.registry_losses import LostRow
from kvproxy.documents.registry.registry_rows import (
    Row,
    parse_document,
    parse_framing,
    row_fault,
    text_fault,
)

_ROWS_AT_ONCE = 256

_Key = tuple[str, int]


@dataclass(slots=True)
class VerifiedEntries:
    """The versions that are as they were written, and the rows that are not."""

    entries: list[RegistryEntry] = field(default_factory=list)
    """By id and then by version."""
    lost: list[LostRow] = field(default_factory=list)


def read_verified(db: Connection, fingerprint: str = "") -> VerifiedEntries:
    """Read all versions with their texts, and their pages: those of one engine, or of all for an empty
    ``fingerprint``. Changes nothing. Raises sqlalchemy's DBAPIError.

    Example:
        ``found = read_verified(db, engine_fingerprint)``
    """
    found = VerifiedEntries()
    versions: dict[_Key, Row] = {}
    failed: dict[_Key, LostRow] = {}
    for row in rows_of(db, DOCUMENT_VERSIONS):
        reason = row_fault(DOCUMENT_VERSIONS, row)
        if reason is None:
            versions[_key(row)] = row
        else:
            failed[_key(row)] = LostRow(DOCUMENT_VERSIONS, row, reason)
    framings: dict[_Key, list[KeptFraming]] = {}
    for row in rows_of(db, DOCUMENT_PAGES):
        if fingerprint and row["fingerprint"] != fingerprint:
            continue
        reason = row_fault(DOCUMENT_PAGES, row)
        if reason is not None:
            found.lost.append(LostRow(DOCUMENT_PAGES, row, reason))
        elif _key(row) in versions:
            framings.setdefault(_key(row), []).append(parse_framing(row))
    unread = dict(versions)
    for row in rows_of(db, DOCUMENT_TEXTS):
        key = _key(row)
        version = unread.pop(key, None)
        if version is None:
            if key in failed:  # what a person needs to publish it again
                found.lost.append(LostRow(DOCUMENT_TEXTS, row, failed[key].reason))
            continue
        reason = text_fault(row["text"], version["etag"])
        if reason is None:
            found.entries.append(entry_of(version, row["text"], framings.get(key, [])))
        else:
            found.lost += [LostRow(DOCUMENT_VERSIONS, version, reason), LostRow(DOCUMENT_TEXTS, row, reason)]
    found.lost += failed.values()
    missing = text_fault(None, "")
    found.lost += [LostRow(DOCUMENT_VERSIONS, version, str(missing)) for version in unread.values()]
    found.entries.sort(key=lambda e: (e.document.id, e.document.version, e.document.ref.name))
    return found


def lost_marks(db: Connection) -> list[LostRow]:
    """Return the damaged rows of aliases, manifests and reads. Changes nothing."""
    return [
        LostRow(table, row, reason)
        for table in (DOCUMENT_ALIASES, DOCUMENT_MANIFESTS, DOCUMENT_READS)
        for row in rows_of(db, table)
        if (reason := row_fault(table, row)) is not None
    ]


def rows_of(db: Connection, table: Table) -> Iterator[Row]:
    """Yield all rows of a table, also those whose text columns are no UTF-8 any more.

    Raises sqlalchemy's DBAPIError where the database itself is damaged.
    """
    yielded = 0
    try:
        for row in _rows(db, table):
            yield row
            yielded += 1
    except OperationalError as e:
        if "decode" not in str(e.orig):
            raise
        with _any_text(db):
            yield from islice(list(_rows(db, table)), yielded, None)


def _rows(db: Connection, table: Table) -> Iterator[Row]:
    statement = select(table).order_by(*table.primary_key.columns)
    result = db.execute(statement.execution_options(yield_per=_ROWS_AT_ONCE))
    try:
        yield from result.mappings()
    finally:
        result.close()


@contextmanager
def _any_text(db: Connection) -> Iterator[None]:
    """Read text that is no UTF-8 with its bytes escaped, on SQLite: PostgreSQL stores none."""
    connection: Any = db.connection.dbapi_connection
    before = connection.text_factory
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        connection.text_factory = before


def entry_of(version: Row, text: bytes, framings: Sequence[KeptFraming]) -> RegistryEntry:
    """Return the entry of verified rows.

    Example:
        ``entry = entry_of(version_row, text_row["text"], framings)``
    """
    return RegistryEntry(
        parse_document(version, text),
        tuple(framings),
        version["quarantined"],
        bool(version["pinned"]),
        version["revoked"],
    )


def _key(row: Row) -> _Key:
    return row["name"], row["version"]

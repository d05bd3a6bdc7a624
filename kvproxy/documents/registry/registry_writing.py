"""Writes of single rows of the registry, each within a transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from kvproxy.core import DocumentRef
from kvproxy.database.tables.document_tables import DOCUMENT_VERSIONS, DOCUMENTS
from kvproxy.documents.registry.registry_losses import LostRow
from kvproxy.documents.registry.registry_reading import rows_of
from kvproxy.documents.registry.registry_rows import Row, row_fault, row_name, sealed
from kvproxy.errors import Unavailable

_DISK_FULL = "53100"
"""PostgreSQL's code for a full disk."""

_MOST_VERSIONS = 2**30
"""The bound of a number that a damaged row may still say: half of what the column can hold."""


def change_version(db: Connection, ref: DocumentRef, **columns: Any) -> bool:
    """Change columns of a version's row and seal it again; return False where there is none.

    Raises Unavailable for a damaged row: sealing it again would make its damage look right.

    Example:
        ``change_version(db, DocumentRef("handbook", 3), pinned=1)``
    """
    table = DOCUMENT_VERSIONS
    statement = select(table).where(*of_version(table, ref)).with_for_update()
    row = db.execute(statement).mappings().one_or_none()
    if row is None:
        return False
    if (reason := row_fault(table, row)) is not None:
        raise Unavailable(f"The registry's row of {row_name(table, row)} is damaged: {reason}.")
    if columns:
        db.execute(update(table).where(*of_version(table, ref)), sealed(table, {**row, **columns}))
    return True


def note_number(db: Connection, name: str, version: int) -> None:
    """Record that a number of a name is used; the highest one stays.

    Example:
        ``note_number(db, "handbook", 3)``
    """
    statement = select(DOCUMENTS.c.last_version).where(DOCUMENTS.c.name == name).with_for_update()
    last = db.execute(statement).scalar()
    put_row(db, DOCUMENTS, {"name": name, "last_version": max(version, last or 0)})


def last_number(db: Connection, names: Iterable[str]) -> int:
    """Return the highest number that any of these names has used; 0 for none."""
    last = select(func.max(DOCUMENTS.c.last_version)).where(DOCUMENTS.c.name.in_(set(names)))
    return int(db.execute(last).scalar() or 0)


def put_row(db: Connection, table: Table, row: Row) -> None:
    """Write a row and its digest in the place of one with the same key.

    Example:
        ``put_row(db, DOCUMENTS, {"name": "handbook", "last_version": 3})``
    """
    values = sealed(table, row)
    same = [column == values[column.name] for column in table.primary_key.columns]
    if db.execute(update(table).where(*same), values).rowcount == 0:
        db.execute(insert(table), [values])


def check_number(db: Connection) -> list[LostRow]:
    """Return the rows of names that are damaged, or older than a version of theirs."""
    newest: dict[str, int] = {}
    for name, version in db.execute(select(DOCUMENT_VERSIONS.c.name, DOCUMENT_VERSIONS.c.version)):
        newest[name] = max(version, newest.get(name, 0))
    lost = []
    for row in rows_of(db, DOCUMENTS):
        reason = row_fault(DOCUMENTS, row)
        if reason is None and row["last_version"] < newest.get(row["name"], 0):
            reason = "it is older than a version of its id"
        if reason is not None:
            lost.append(LostRow(DOCUMENTS, row, reason))
    return lost


def delete_rows(db: Connection, lost: Iterable[LostRow]) -> None:
    """Delete rows that were set aside. A name stays, with the highest number that its rows show: a number too high is
    no harm, one that is used again is."""
    for item in sorted(lost, key=lambda item: item.table is not DOCUMENTS):
        table, row = item.table, item.row
        if table is DOCUMENTS:
            versions = select(DOCUMENT_VERSIONS.c.version).where(DOCUMENT_VERSIONS.c.name == row["name"])
            told = row["last_version"] if row["last_version"] < _MOST_VERSIONS else 0
            last = max([told, *db.execute(versions).scalars()])
            put_row(db, DOCUMENTS, {"name": row["name"], "last_version": last})
        else:
            same = [column == row[column.name] for column in table.primary_key.columns]
            db.execute(delete(table).where(*same))


def of_version(table: Table, ref: DocumentRef) -> list[ColumnElement[bool]]:
    """Return the conditions that name a version's rows in ``table``."""
    return [table.c.name == ref.name, table.c.version == ref.version]


def is_full(error: DBAPIError) -> bool:
    """Return whether a database refused for want of space."""
    told = error.orig
    return getattr(told, "sqlstate", None) == _DISK_FULL or "database or disk is full" in str(told)

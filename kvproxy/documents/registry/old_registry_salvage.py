"""`salvage_rows`: the verifiable rows of a damaged registry, read from each page of the file that can be read."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from kvproxy.documents.registry import old_registry_rows as rows
from kvproxy.documents.registry.old_registry_rows import Row, Table, Value
from kvproxy.store.sqlite.sqlite_pages import read_image
from kvproxy.store.sqlite.sqlite_read_only import read_only
from kvproxy.store.sqlite.sqlite_rows import table_rows


@dataclass(slots=True)
class RescuedRows:
    """Verified rows by table and key, and a line of text for each known loss."""

    found: dict[str, dict[Row, Row]] = field(default_factory=lambda: {t.name: {} for t in rows.TABLES})
    lost: list[str] = field(default_factory=list)

    def add(self, table: Table, values: Row) -> None:
        """Keep a verified row; the first one of its key counts."""
        self.found[table.name].setdefault(values[: table.key], values)


def read_rows(db: sqlite3.Connection, *, with_digests: bool = False) -> RescuedRows:
    """Read the rows of a database of schema 1, without digests, or of schema 2. Raises sqlite3.Error."""
    rescued = RescuedRows()
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
    for table in rows.TABLES:
        if table.name not in there:
            continue
        for row in db.execute(
            f"SELECT {'*' if with_digests else ', '.join(table.columns)} FROM {table.name}"
        ):
            _sort(rescued, table, row, with_digest=with_digests)
    if not with_digests:
        rescued.found = rows.named_by_owner(rescued.found)
    return rescued


def _sort(rescued: RescuedRows, table: Table, row: tuple[Value, ...], *, with_digest: bool) -> bool:
    reason = rows.row_fault(table, row, with_digest=with_digest)
    if reason is None:
        values = rows.coerced(table, row[: len(table.columns)])
        assert values is not None
        rescued.add(table, values)
        return True
    rescued.lost.append(describe_loss(table, row, reason))
    return False


def describe_loss(table: Table, row: tuple[Value, ...], reason: str) -> str:
    """Describe the loss of a row for the report.

    Example:
        ``line = describe_loss(VERSIONS, row, "a column differs from the row as written")``
    """
    name = rows.row_name(table, row)
    if table is rows.VERSIONS:
        return f"{name} is not served: {reason}"
    if table is rows.KEPT:
        return f"{name} is prefilled again: {reason}"
    return f"{name} has lost its row in {table.name}: {reason}"


def salvage_rows(path: Path) -> RescuedRows:
    """Recover the verifiable rows of a damaged file, from each page of it that can be read."""
    rescued = RescuedRows()
    found = list(table_rows(read_image(path)))
    doubtful = []
    for row in found:
        tables = [t for t in rows.TABLES if len(t.columns) + 1 == len(row)]
        sound = next((t for t in tables if rows.row_fault(t, row) is None), None)
        if sound is not None:
            rescued.add(sound, rows.coerced(sound, row[:-1]) or ())
        else:
            doubtful.append((tables, row))
    if not any(rescued.found.values()) and _without_digests(path):
        for row in found:
            for table in (t for t in rows.TABLES if len(t.columns) == len(row)):
                _sort(rescued, table, row, with_digest=False)
        _add_readable_ids(path, rescued)
        rescued.found = rows.named_by_owner(rescued.found)
    else:
        for tables, row in doubtful:
            # A row of this schema ends in a digest; another one is foreign, or past recognition.
            alike = [t for t in tables if isinstance(row[-1], bytes) and _alike(t, row)]
            if len(alike) == 1:
                _sort(rescued, alike[0], row, with_digest=True)
            elif alike:
                where = " or ".join(t.name for t in alike)
                rescued.lost.append(f"{rows.row_name(rows.IDS, row)} has lost a row in {where}")
    return rescued


def _alike(table: Table, row: tuple[Value, ...]) -> bool:
    """Return whether most columns have the table's types."""
    same = sum(type(v) is kind or kind is float for v, kind in zip(row, table.kinds, strict=False))
    return same >= len(table.kinds) - 1


def _without_digests(path: Path) -> bool:
    try:
        with closing(read_only(path)) as db:
            return bool(db.execute("PRAGMA user_version").fetchone()[0] == 1)
    except (sqlite3.Error, UnicodeDecodeError):
        return False


def _add_readable_ids(path: Path, rescued: RescuedRows) -> None:
    """Add the ids of a database without digests, in which the table of ids is an index of its own kind."""
    with suppress(sqlite3.Error, UnicodeDecodeError), closing(read_only(path)) as db:
        for row in db.execute("SELECT id, last_version FROM ids"):
            _sort(rescued, rows.IDS, row, with_digest=False)

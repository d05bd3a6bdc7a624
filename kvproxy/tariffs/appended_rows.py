"""Tables whose rows are only ever added, numbered from 1 without gaps, so that a reader asks for what is new."""

from __future__ import annotations

from sqlalchemy import Connection, Table, func, select, text


def lock_rows(db: Connection, *tables: Table) -> None:
    """Keep other writers out until the transaction ends; readers go on. On SQLite a transaction is alone already."""
    if db.dialect.name == "postgresql":
        names = ", ".join(db.dialect.identifier_preparer.format_table(table) for table in tables)
        db.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))


def next_seq(db: Connection, table: Table) -> int:
    """Return the number of the next row. Call ``lock_rows`` first: a sequence of the database would have gaps, and
    rows that become visible out of order."""
    return int(db.execute(select(func.max(table.c.seq))).scalar() or 0) + 1

"""Tables of the ledger: its chain of rows, and what is kept beside it so that nothing has to be summed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from kvproxy.database.metadata import METADATA

_WHOLE = BigInteger().with_variant(Integer, "sqlite")
"""64 bits on both; on SQLite a primary key of this type is the row's own number."""

LEDGER_HEAD = Table(
    "ledger_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)
"""One row: the end of the chain. Each transaction that books or leases locks it first."""

LEDGER_ROWS = Table(
    "ledger_rows",
    METADATA,
    Column("seq", _WHOLE, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("reader", Text),
    Column("key", Text),
    Column("model", Text, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("cold_cost", BigInteger, nullable=False),
    Column("seconds_saved_us", BigInteger, nullable=False),
    Column("settled_by", Text, index=True),
    Column("body", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index(None, "reader", "seq"),
)
"""The rows. ``body`` is the truth, the other columns repeat parts of it for queries; the check compares them."""

LEDGER_ENTRIES = Table(
    "ledger_entries",
    METADATA,
    Column("seq", _WHOLE, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("account", Text, nullable=False, index=True),
    Column("nano", BigInteger, nullable=False),
)
"""The entries of each row; they sum to zero."""

LEDGER_READS = Table(
    "ledger_reads",
    METADATA,
    Column("seq", _WHOLE, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("publisher", Text, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("share", BigInteger, nullable=False),
    Column("saved_nano", BigInteger, nullable=False),
    Column("saved_us", BigInteger, nullable=False),
    Index(None, "publisher", "seq"),
    Index(None, "document", "seq"),
)
"""The documents of each row, with their part of its price and of what it saved."""

LEDGER_BALANCES = Table(
    "ledger_balances",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("nano", BigInteger, nullable=False),
)
"""The sum of each account's entries, kept in the transaction that books them."""

LEDGER_PROCESSES = Table(
    "ledger_processes",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("beat", BigInteger, nullable=False),
)
"""Processes that may hold leases. ``beat`` is a count, so that no two machines' clocks are compared."""

LEDGER_LEASES = Table(
    "ledger_leases",
    METADATA,
    Column("process", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("nano", BigInteger, nullable=False),
    Column("wanted", Integer, nullable=False),
)
"""The part of an account's balance that a process may give to requests. ``wanted``: 1 when another process asks for
what of it is free."""

LEDGER_COUNTERS = Table(
    "ledger_counters",
    METADATA,
    Column("subject", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("tokens", BigInteger, nullable=False),
    Column("nano", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
)
"""Use of each tenant and key in each minute, day and month, for budgets."""

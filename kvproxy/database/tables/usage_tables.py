"""Tables of usage: what the requests of each tenant, and the reads of each document, came to by day."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, Integer, Table, Text

from kvproxy.database.metadata import METADATA

USAGE_DAYS = Table(
    "usage_days",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("model", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("hits", BigInteger, nullable=False),
    Column("misses", BigInteger, nullable=False),
    Column("cold", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("saved_us", BigInteger, nullable=False),
    Column("saved_nano", BigInteger, nullable=False),
    Index(None, "day"),
)
"""Sums by the tenant's name, empty for all tenants together, and by day since 1970 in UTC: day 0 has the sums of all
days, so that nothing has to be added up and old days can go. ``currency`` is empty where nothing was priced."""

USAGE_WRITERS = Table(
    "usage_writers",
    METADATA,
    Column("writer", Text, primary_key=True),
    Column("batch", BigInteger, nullable=False),
    Column("day", Integer, nullable=False),
)
"""The number of the newest batch of each process that is among the sums, and its day: a process whose commit was
answered by nobody finds out here whether it counts."""

DOCUMENT_DAYS = Table(
    "document_days",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("tenant", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("currency", Text, primary_key=True),
    Column("reads", BigInteger, nullable=False),
    Column("misses", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("last_read", BigInteger),
    Column("saved_us", BigInteger, nullable=False),
    Column("saved_nano", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["name", "version"], ["document_versions.name", "document_versions.version"], ondelete="CASCADE"
    ),
    Index(None, "day"),
)
"""Sums by version and reader, in the same way; a deleted version takes its rows with it. ``last_read``: Unix
seconds."""

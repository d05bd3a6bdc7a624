"""The table of responses that a later request may continue, of proxies that share a PostgreSQL."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from kvproxy.database.metadata import METADATA

STORED_RESPONSES = Table(
    "stored_responses",
    METADATA,
    Column("scope", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("stored_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Index("ix_stored_responses_expires", "expires_ms"),
    Index("ix_stored_responses_oldest", "scope", "stored_ms"),
)
"""Records by the scope of their caller, each under a digest of itself and its key. ``bytes``: what a record counts for
its scope. Times are Unix milliseconds by the clock of the database's machine: those of several proxies may differ."""

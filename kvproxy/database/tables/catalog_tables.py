"""Tables of the catalog: what verifications have measured."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from kvproxy.database.metadata import METADATA

DOCUMENT_CHECKS = Table(
    "document_checks",
    METADATA,
    Column("publisher", Text, primary_key=True),
    Column("document", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("checked_ms", BigInteger, nullable=False),
    Column("exact", Integer, nullable=False),
    Column("positions", BigInteger, nullable=False),
    Column("equal_positions", BigInteger, nullable=False),
    Column("pages", BigInteger, nullable=False),
    Column("equal_pages", BigInteger, nullable=False),
)
"""Results of the last verification of a version, over all of its framings. ``exact``: 1 or 0."""

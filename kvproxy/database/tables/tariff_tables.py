"""Tables of tariffs and of publishers' terms. Rows are only ever added: the price of an old read stays computable."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text

from kvproxy.database.metadata import METADATA

TARIFFS = Table(
    "tariffs",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("valid_from_ms", BigInteger, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("written", Text, nullable=False),
    Column("body", Text, nullable=False),
    CheckConstraint("action IN ('valid', 'withdrawn')", name="action"),
)
"""Tariffs in the order in which they were recorded. ``id`` is the sha256 of ``body``, canonical JSON; ``withdrawn``
ends one that had not begun. ``written`` is the digest of the file's entry as its author wrote it."""

TERMS = Table(
    "terms",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("body", Text, nullable=False),
)
"""Terms by the sha256 of their canonical JSON: those of documents, of grants and of tariffs' defaults."""

DOCUMENT_TERMS = Table(
    "document_terms",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("publisher", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("terms", Text, ForeignKey("terms.id"), nullable=False),
    Column("valid_from_ms", BigInteger, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("licence", Text, nullable=False, server_default=""),
    Index("ix_document_terms_publisher_document", "publisher", "document"),
)
"""Publishers' choices of terms for their documents, in the order in which they were made."""

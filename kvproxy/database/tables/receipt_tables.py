"""Tables of receipts, checkpoints and quotes. All but the used quotes can be made again from the ledger."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text

from kvproxy.database.metadata import METADATA

RECEIPT_LEAVES = Table(
    "receipt_leaves",
    METADATA,
    Column("publisher", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("receipt", Text, nullable=False),
    Column("leaf", Text, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("share", BigInteger, nullable=False),
    Index(None, "publisher", "seq"),
)
"""The log of each publisher's receipts, in the order of the ledger: ``number`` from 0, without a gap. A leaf once
written stays, so that a ledger's row that is changed later contradicts it."""

LOG_EDGES = Table(
    "log_edges",
    METADATA,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("peaks", Text, nullable=False),
    Column("root", Text, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
)
"""The right edge of the ledger's Merkle tree at each checkpoint, so that the next one reads the new rows alone."""

QUOTES_USED = Table(
    "quotes_used",
    METADATA,
    Column("jti", Text, primary_key=True),
    Column("reader", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False, index=True),
    Column("used_ms", BigInteger, nullable=False),
    Column("request", Text, nullable=False),
)
"""Quotes that were redeemed, until some time after they have expired: a quote is honoured once."""

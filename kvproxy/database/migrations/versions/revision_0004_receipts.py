"""Revision 0004: the tables of receipts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply the revision."""
    _log_edges()
    _quotes_used()
    _receipt_leaves()


def _log_edges() -> None:
    op.create_table(
        "log_edges",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("peaks", sa.Text(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_log_edges")),
    )


def _quotes_used() -> None:
    op.create_table(
        "quotes_used",
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_quotes_used")),
    )
    op.create_index(op.f("ix_quotes_used_expires_ms"), "quotes_used", ["expires_ms"], unique=False)


def _receipt_leaves() -> None:
    op.create_table(
        "receipt_leaves",
        sa.Column("publisher", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("leaf", sa.Text(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("share", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("publisher", "number", name=op.f("pk_receipt_leaves")),
    )
    op.create_index(
        op.f("ix_receipt_leaves_publisher_seq"), "receipt_leaves", ["publisher", "seq"], unique=False
    )

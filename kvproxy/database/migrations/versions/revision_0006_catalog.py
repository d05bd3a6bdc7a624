"""Revision 0006: the tables of catalog."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply the revision."""
    _document_checks()


def _document_checks() -> None:
    op.create_table(
        "document_checks",
        sa.Column("publisher", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("checked_ms", sa.BigInteger(), nullable=False),
        sa.Column("exact", sa.Integer(), nullable=False),
        sa.Column("positions", sa.BigInteger(), nullable=False),
        sa.Column("equal_positions", sa.BigInteger(), nullable=False),
        sa.Column("pages", sa.BigInteger(), nullable=False),
        sa.Column("equal_pages", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("publisher", "document", "version", name=op.f("pk_document_checks")),
    )

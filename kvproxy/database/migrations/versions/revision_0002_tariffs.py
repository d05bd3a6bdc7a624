"""Revision 0002: the tables of tariffs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply the revision."""
    _tariffs()
    _terms()
    _document_terms()


def _tariffs() -> None:
    op.create_table(
        "tariffs",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("written", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint("action IN ('valid', 'withdrawn')", name=op.f("ck_tariffs_action")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_tariffs")),
    )


def _terms() -> None:
    op.create_table(
        "terms",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_terms")),
    )


def _document_terms() -> None:
    op.create_table(
        "document_terms",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("publisher", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger(), nullable=False),
        sa.Column("licence", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["terms"], ["terms.id"], name=op.f("fk_document_terms_terms")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_document_terms")),
    )
    op.create_index(
        "ix_document_terms_publisher_document", "document_terms", ["publisher", "document"], unique=False
    )

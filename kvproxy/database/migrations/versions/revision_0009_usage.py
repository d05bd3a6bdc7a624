"""Revision 0009: the tables of usage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply the revision."""
    _usage_days()
    _usage_writers()
    _document_days()


def _usage_days() -> None:
    op.create_table(
        "usage_days",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("misses", sa.BigInteger(), nullable=False),
        sa.Column("cold", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("saved_us", sa.BigInteger(), nullable=False),
        sa.Column("saved_nano", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "day", "model", "currency", name=op.f("pk_usage_days")),
    )
    op.create_index(op.f("ix_usage_days_day"), "usage_days", ["day"], unique=False)


def _usage_writers() -> None:
    op.create_table(
        "usage_writers",
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("writer", name=op.f("pk_usage_writers")),
    )


def _document_days() -> None:
    op.create_table(
        "document_days",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reads", sa.BigInteger(), nullable=False),
        sa.Column("misses", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("last_read", sa.BigInteger(), nullable=True),
        sa.Column("saved_us", sa.BigInteger(), nullable=False),
        sa.Column("saved_nano", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["name", "version"],
            ["document_versions.name", "document_versions.version"],
            name=op.f("fk_document_days_name_version"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "name", "version", "tenant", "day", "currency", name=op.f("pk_document_days")
        ),
    )
    op.create_index(op.f("ix_document_days_day"), "document_days", ["day"], unique=False)

"""Revision 0008: pages of each engine, and stored responses, for several proxies on one database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Apply the revision."""
    _pages_of_each_engine()
    _stored_responses()


def _pages_of_each_engine() -> None:
    if op.get_bind().dialect.name == "sqlite":
        # SQLite cannot change a primary key.
        op.rename_table("document_pages", "document_pages_0007")
        _document_pages()
        op.execute(
            "INSERT INTO document_pages (name, version, framing, fingerprint, token_ids, pages, bytes, prefill_s, "
            "digest) SELECT name, version, framing, fingerprint, token_ids, pages, bytes, prefill_s, digest "
            "FROM document_pages_0007"
        )
        op.drop_table("document_pages_0007")
        return
    op.drop_constraint("pk_document_pages", "document_pages")
    op.create_primary_key(
        "pk_document_pages", "document_pages", ["name", "version", "framing", "fingerprint"]
    )


def _document_pages() -> None:
    op.create_table(
        "document_pages",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("framing", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("token_ids", sa.LargeBinary(), nullable=False),
        sa.Column("pages", sa.LargeBinary(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("prefill_s", sa.Double(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["name", "version"],
            ["document_versions.name", "document_versions.version"],
            name=op.f("fk_document_pages_name_version"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("name", "version", "framing", "fingerprint", name=op.f("pk_document_pages")),
    )


def _stored_responses() -> None:
    op.create_table(
        "stored_responses",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("stored_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "id", name=op.f("pk_stored_responses")),
    )
    op.create_index("ix_stored_responses_expires", "stored_responses", ["expires_ms"])
    op.create_index("ix_stored_responses_oldest", "stored_responses", ["scope", "stored_ms"])

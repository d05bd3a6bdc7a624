"""Revision 0007: the tables of documents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Apply the revision."""
    _documents()
    _document_aliases()
    _document_quotas()
    _document_versions()
    _document_manifests()
    _document_pages()
    _document_reads()
    _document_texts()


def _documents() -> None:
    op.create_table(
        "documents",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("last_version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_documents")),
    )


def _document_aliases() -> None:
    op.create_table(
        "document_aliases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["name"], ["documents.name"], name=op.f("fk_document_aliases_name")),
        sa.PrimaryKeyConstraint("name", "alias", name=op.f("pk_document_aliases")),
    )


def _document_quotas() -> None:
    op.create_table(
        "document_quotas",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("versions", sa.BigInteger(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("tokens", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "versions >= 0 AND bytes >= 0 AND tokens >= 0", name=op.f("ck_document_quotas_not_negative")
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_document_quotas_tenant")),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_document_quotas")),
    )


def _document_versions() -> None:
    op.create_table(
        "document_versions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.Column("owner_scope", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=True),
        sa.Column("pinned", sa.Integer(), nullable=False),
        sa.Column("quarantined", sa.Text(), nullable=True),
        sa.Column("revoked", sa.Text(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "origin IN ('published', 'learned', 'imported')", name=op.f("ck_document_versions_origin")
        ),
        sa.CheckConstraint(
            "visibility IN ('public', 'granted', 'private')", name=op.f("ck_document_versions_visibility")
        ),
        sa.CheckConstraint("version > 0", name=op.f("ck_document_versions_version")),
        sa.ForeignKeyConstraint(["name"], ["documents.name"], name=op.f("fk_document_versions_name")),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_document_versions")),
    )


def _document_manifests() -> None:
    op.create_table(
        "document_manifests",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["name", "version"],
            ["document_versions.name", "document_versions.version"],
            name=op.f("fk_document_manifests_name_version"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_document_manifests")),
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
        sa.PrimaryKeyConstraint("name", "version", "framing", name=op.f("pk_document_pages")),
    )


def _document_reads() -> None:
    op.create_table(
        "document_reads",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reads", sa.BigInteger(), nullable=False),
        sa.Column("last_read", sa.BigInteger(), nullable=False),
        sa.Column("saved_tokens", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["name", "version"],
            ["document_versions.name", "document_versions.version"],
            name=op.f("fk_document_reads_name_version"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_document_reads")),
    )


def _document_texts() -> None:
    op.create_table(
        "document_texts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["name", "version"],
            ["document_versions.name", "document_versions.version"],
            name=op.f("fk_document_texts_name_version"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_document_texts")),
    )

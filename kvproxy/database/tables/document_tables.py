"""Tables of published documents. Each row ends in a digest of itself: a damaged one is lost, and never served."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    Table,
    Text,
)

from kvproxy.database.metadata import METADATA


def _of_a_version() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["name", "version"], ["document_versions.name", "document_versions.version"], ondelete="CASCADE"
    )


DOCUMENTS = Table(
    "documents",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("last_version", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
"""Names of documents (``DocumentRef.name``). They outlive their versions, so that no number is ever used again."""

DOCUMENT_VERSIONS = Table(
    "document_versions",
    METADATA,
    Column("name", Text, ForeignKey("documents.name"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("etag", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("owner_scope", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("origin", Text, nullable=False),
    Column("expires", BigInteger),
    Column("pinned", Integer, nullable=False),
    Column("quarantined", Text),
    Column("revoked", Text),
    Column("digest", LargeBinary, nullable=False),
    CheckConstraint("version > 0", name="version"),
    CheckConstraint("visibility IN ('public', 'granted', 'private')", name="visibility"),
    CheckConstraint("origin IN ('published', 'learned', 'imported')", name="origin"),
)
"""Versions. ``created`` and ``expires`` are Unix seconds; ``quarantined`` and ``revoked`` are reasons, null: none.
What ends the use of a version lies in its own row: a row that was damaged takes the version with it."""

DOCUMENT_TEXTS = Table(
    "document_texts",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("text", LargeBinary, nullable=False),
    _of_a_version(),
)
"""The UTF-8 texts, apart from the rows that change; the version's ``etag`` is their digest."""

DOCUMENT_PAGES = Table(
    "document_pages",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("framing", Text, primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("token_ids", LargeBinary, nullable=False),
    Column("pages", LargeBinary, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("prefill_s", Double, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    _of_a_version(),
)
"""The kept pages of each framing, by the fingerprint of the engine that computed them: proxies with different engines
on one database have a row each. Token ids as uint32, pages as pairs of a 32-byte key and a uint32 of tokens, both
little-endian."""

DOCUMENT_ALIASES = Table(
    "document_aliases",
    METADATA,
    Column("name", Text, ForeignKey("documents.name"), primary_key=True),
    Column("alias", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
"""Movable names of versions: ``handbook@stable``. The version may be gone; the alias then finds nothing."""

DOCUMENT_MANIFESTS = Table(
    "document_manifests",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("jws", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    _of_a_version(),
)
"""The signed manifest of each version."""

DOCUMENT_READS = Table(
    "document_reads",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("reads", BigInteger, nullable=False),
    Column("last_read", BigInteger, nullable=False),
    Column("saved_tokens", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    _of_a_version(),
)
"""Reads of each version from kept pages, the Unix second of the last one, and the tokens that they saved."""

"""Tables of tenants, API keys, budgets and grants. Keys are kept as keyed hashes alone."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Integer, LargeBinary, Table, Text

from kvproxy.database.metadata import METADATA

TENANTS = Table(
    "tenants",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False, unique=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("credit_nano", BigInteger),
    Column("closed_ms", BigInteger),
    CheckConstraint("credit_nano >= 0", name="credit"),
)
"""Tenants by name. ``scope`` is that of their pages; ``credit_nano`` is how far a balance may go below zero, null:
without a limit."""

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, ForeignKey("tenants.id"), nullable=False, index=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("made_with", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("permissions", Text, nullable=False),
    Column("isolate_by", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("label", Text),
)
"""API keys, revoked ones too. ``digest`` is HMAC-SHA256 under the secret whose mark is ``made_with``; ``hint`` is the
end of the key, for people."""

BUDGETS = Table(
    "budgets",
    METADATA,
    Column("subject", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("tokens", BigInteger),
    Column("nano", BigInteger),
    Column("requests", BigInteger),
    CheckConstraint("period IN ('minute', 'day', 'month')", name="period"),
    CheckConstraint("tokens >= 0 AND nano >= 0 AND requests >= 0", name="not_negative"),
)
"""Limits by subject, ``tenant:alice`` or ``key:ID``, and by period. Null: no limit."""

GRANTS = Table(
    "grants",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("publisher", Text, ForeignKey("tenants.id"), nullable=False),
    Column("document", Text, nullable=False),
    Column("version", Integer),
    Column("reader_kind", Text, nullable=False),
    Column("reader", Text),
    Column("terms", Text),
    Column("max_reads", BigInteger),
    Column("max_tokens", BigInteger),
    Column("max_nano", BigInteger),
    Column("expires_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
    CheckConstraint("reader_kind IN ('key', 'tenant', 'everybody')", name="reader_kind"),
    CheckConstraint("(reader IS NULL) = (reader_kind = 'everybody')", name="reader"),
)
"""Permissions of publishers to load their documents by reference. ``terms`` is the id of terms that count instead of
the document's; ``version`` null: all versions."""

GRANT_USES = Table(
    "grant_uses",
    METADATA,
    Column("grant_id", Text, ForeignKey("grants.id"), primary_key=True),
    Column("reads", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("nano", BigInteger, nullable=False),
)
"""The sums of what was read by each grant; written within the ledger's transactions."""

DOCUMENT_QUOTAS = Table(
    "document_quotas",
    METADATA,
    Column("tenant", Text, ForeignKey("tenants.id"), primary_key=True),
    Column("versions", BigInteger),
    Column("bytes", BigInteger),
    Column("tokens", BigInteger),
    CheckConstraint("versions >= 0 AND bytes >= 0 AND tokens >= 0", name="not_negative"),
)
"""The most that a tenant may have published at once, instead of the configuration's ``documents.quota``. Null: no
limit."""

ACCOUNT_CHANGES = Table(
    "account_changes",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)
"""One row that counts the changes of the tables above, so that a process sees another one's by reading one number."""

"""Sections of the market: the database of accounts and ledger."""

from __future__ import annotations

from pydantic import Field

from kvproxy.settings.section import Section


class DatabaseSettings(Section):
    """The database of tenants, keys, grants and the ledger."""

    url: str | None = Field(default=None, min_length=1, repr=False)
    """A URL of SQLAlchemy, which may hold a password; None: SQLite in the store's folder."""

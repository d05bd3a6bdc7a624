"""`UsageSettings`: how long the figures of single days are kept."""

from __future__ import annotations

from pydantic import Field

from kvproxy.settings.section import Section


class UsageSettings(Section):
    """Sums of each tenant's requests and of each document's reads, in the database. Those of all days together stay."""

    days: int = Field(default=400, ge=1, le=4_000)
    """Days of each tenant that are kept."""
    document_days: int = Field(default=90, ge=1, le=4_000)
    """Days of each document, by reader."""

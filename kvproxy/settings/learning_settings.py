"""`LearningSettings`: texts that nobody published and many send."""

from __future__ import annotations

from pydantic import Field

from kvproxy.settings.section import Section


class LearningSettings(Section):
    """Texts that a tenant's requests keep beginning with, kept as its own private documents."""

    enabled: bool = True
    min_characters: int = Field(default=4_000, ge=1_000)
    """Shorter texts are kept in memory as every prompt is, and are no documents."""
    most_documents: int = Field(default=16, ge=1, le=1_000)
    """Learned documents of one tenant; the one read longest ago gives way to a new one."""
    ttl_s: float = Field(default=7 * 86400.0, gt=0)
    """Seconds without a reader after which a learned document is dropped."""

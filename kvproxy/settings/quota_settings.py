"""`QuotaSettings`: what each tenant may have published at once."""

from __future__ import annotations

from pydantic import Field

from kvproxy.core.document_quota import DocumentQuota
from kvproxy.settings.byte_size import Bytes
from kvproxy.settings.section import Section


class QuotaSettings(Section):
    """The quota of tenants that have none of their own (``kvproxy tenants limit NAME --quota``); null: no limit."""

    versions: int | None = Field(default=None, ge=0)
    """Served versions of all its documents."""
    bytes: Bytes | None = None
    """KV of those versions."""
    tokens: int | None = Field(default=None, ge=0)
    """Tokens of those versions."""

    def quota(self) -> DocumentQuota:
        """Return the value that is checked."""
        return DocumentQuota(self.versions, self.bytes, self.tokens)

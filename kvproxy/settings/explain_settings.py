"""Settings of explained misses: the earlier requests that new ones are compared with."""

from __future__ import annotations

from pydantic import Field

from kvproxy.settings.byte_size import Bytes
from kvproxy.settings.section import Section


class ExplainSettings(Section):
    """The memory of earlier requests: token ids and digests, no text, for each tenant and cache salt apart."""

    keep: bool = True
    """False: no request is kept, and a miss is compared with documents alone."""
    ttl_s: float = Field(default=3600.0, gt=0)
    """Seconds that a request is kept."""
    max_requests: int = Field(default=64, ge=1, le=4096)
    """Of each tenant."""
    max_memory: Bytes = 32 * 2**20
    """Of all tenants, of which one may have a fourth."""

"""`UsageOverview` and `MissEntry`: the usage figures of one tenant, or of all, as they are shown."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.telemetry.usage.ttft_histogram import TtftQuantiles
from kvproxy.telemetry.usage.usage_series import UsagePoint
from kvproxy.telemetry.usage.usage_sums import UsageSums


@dataclass(frozen=True, slots=True)
class UsageOverview:
    """Figures of one tenant, or of all tenants together."""

    today: UsageSums
    """Since midnight UTC."""
    total: UsageSums
    """In all, earlier processes and other proxies of the same database included."""
    series: tuple[UsagePoint, ...]
    """The last two hours of this process, a point a minute, oldest first."""
    hit_ttft: TtftQuantiles
    """Of the series' hits together."""
    miss_ttft: TtftQuantiles


@dataclass(frozen=True, slots=True)
class MissEntry:
    """A request that missed, without any text."""

    id: str
    """The request's id."""
    at: float
    """Unix seconds of its end."""
    tenant: str
    model: str
    reason: str
    cause: str
    """From the closed list of docs/misses.md; ``unknown`` where it was not found."""
    document: str | None
    """The known document at its front; None for everybody but its own tenant."""
    prompt_tokens: int
    cached_tokens: int
    ttft_s: float | None
    answer: str = ""
    """The answer's own id, ``chatcmpl-…``, under which its prompt is remembered for a while."""

"""``/kv/v1/overview`` and ``/kv/v1/misses`` as they stand on the wire: figures, and never a prompt's text."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.wire.market.quote_types import MoneyBody


class KvUsageSums(TypedDict):
    """Sums over requests. Tokens are those of hits and misses."""

    requests: int
    hits: int
    misses: int
    cold: int
    """Requests that asked to be computed from scratch (`kv_reuse: "none"`), which are neither."""
    prompt_tokens: int
    cached_tokens: int
    """Those that were skipped: taken from kept pages."""
    completion_tokens: int
    hit_share: float | None
    """``cached_tokens`` of ``prompt_tokens``; null before the first prompt."""
    saved_s: float
    """Seconds of prefill that the skipped tokens would have taken, at the speed measured here."""
    saved: list[MoneyBody]
    """Below the price of the same requests without kept pages, by currency."""


class KvTtft(TypedDict):
    """Seconds to the first token, within 5 %; null where there was none."""

    count: int
    p50_s: float | None
    p99_s: float | None


class KvUsagePoint(TypedDict):
    """The requests that ended within one minute."""

    at: int
    """Unix seconds of its beginning."""
    requests: int
    prompt_tokens: int
    cached_tokens: int
    hit_ttft: KvTtft
    miss_ttft: KvTtft
    misses: dict[str, int]
    """By cause."""


class KvRecentUsage(TypedDict):
    """The last two hours of this process together."""

    seconds: int
    hit_ttft: KvTtft
    miss_ttft: KvTtft
    misses: dict[str, int]
    """By cause, from the closed list of docs/misses.md."""


class KvEngine(TypedDict):
    """The engine's state, of all tenants together; counts since the process began."""

    running: int
    waiting: int
    pages: dict[str, int]
    """Pages of KV in memory by state, which add up to ``page_budget``: free, used, evictable."""
    page_budget: int
    audits: dict[str, int]
    """Hits that were computed again from scratch: passed, failed (wrong), dropped."""
    quarantined: int
    counters: dict[str, int]
    """As in ``/metrics``, without ``kvproxy_``."""
    gauges: dict[str, int]


class KvTier(TypedDict):
    """One place that pages lie in: memory, disk, objects."""

    name: str
    pages: int
    bytes: int | None
    budget: int | None
    """Bytes that it may hold; null: no limit of this proxy's."""


class KvPublishedSums(TypedDict):
    """Sums over a tenant's published documents; of all tenants the versions alone are known."""

    versions: int
    tokens: int | None
    pages: int | None


class KvOverview(TypedDict):
    """The figures of one tenant, or of all."""

    object: Literal["kv_overview"]
    tenant: str | None
    """Null: all tenants together."""
    at: float
    version: str
    uptime_s: int
    ready: bool
    reason: str | None
    """Why no request would be served now."""
    degraded: list[str]
    models: list[str]
    """The models whose KV is managed here, the primary's first."""
    published: KvPublishedSums
    today: KvUsageSums
    """Since midnight UTC."""
    total: KvUsageSums
    """In all; a restart and other proxies of the database included."""
    recent: KvRecentUsage
    series: list[KvUsagePoint]
    """The newest minutes, oldest first."""
    engine: KvEngine | None
    """Null for a caller that may not see the metrics."""
    store: list[KvTier] | None
    """Null for the same callers, and in a server without a store."""


class KvMiss(TypedDict):
    """One request that missed."""

    object: Literal["kv_miss"]
    id: str
    at: float
    tenant: str
    model: str
    reason: str
    cause: str
    document: str | None
    """The known document at its front; null where it is another tenant's request."""
    prompt_tokens: int
    cached_tokens: int
    ttft_s: float | None


class KvMissList(TypedDict):
    """The newest requests that missed, newest first."""

    object: Literal["list"]
    data: list[KvMiss]

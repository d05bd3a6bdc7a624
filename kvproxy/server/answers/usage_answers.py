"""`overview_body` and `miss_body`: usage figures as they stand on the wire."""

from __future__ import annotations

from kvproxy.telemetry.metrics import Figures
from kvproxy.telemetry.store_state import TierState
from kvproxy.telemetry.usage.ttft_histogram import TtftQuantiles
from kvproxy.telemetry.usage.usage_overview import MissEntry, UsageOverview
from kvproxy.telemetry.usage.usage_series import STEP_S, STEPS, UsagePoint
from kvproxy.telemetry.usage.usage_sums import UsageSums
from kvproxy.wire.market.quote_types import money_body
from kvproxy.wire.service.usage_bodies import (
    KvEngine,
    KvMiss,
    KvRecentUsage,
    KvTier,
    KvTtft,
    KvUsagePoint,
    KvUsageSums,
)


def sums_body(sums: UsageSums) -> KvUsageSums:
    """Return sums as they are sent."""
    return {
        "requests": sums.requests,
        "hits": sums.hits,
        "misses": sums.misses,
        "cold": sums.cold,
        "prompt_tokens": sums.prompt_tokens,
        "cached_tokens": sums.cached_tokens,
        "completion_tokens": sums.completion_tokens,
        "hit_share": None if sums.hit_share is None else round(sums.hit_share, 4),
        "saved_s": round(sums.saved_s, 3),
        "saved": [money_body(nano, currency) for currency, nano in sorted(sums.saved.items())],
    }


def recent_body(overview: UsageOverview) -> KvRecentUsage:
    """Return the figures of the whole series together."""
    misses: dict[str, int] = {}
    for point in overview.series:
        for cause, count in point.misses.items():
            misses[cause] = misses.get(cause, 0) + count
    return {
        "seconds": STEP_S * STEPS,
        "hit_ttft": _ttft(overview.hit_ttft),
        "miss_ttft": _ttft(overview.miss_ttft),
        "misses": dict(sorted(misses.items(), key=lambda item: (-item[1], item[0]))),
    }


def point_body(point: UsagePoint) -> KvUsagePoint:
    """Return one step of the series."""
    return {
        "at": point.at,
        "requests": point.requests,
        "prompt_tokens": point.prompt_tokens,
        "cached_tokens": point.cached_tokens,
        "hit_ttft": _ttft(point.hit_ttft),
        "miss_ttft": _ttft(point.miss_ttft),
        "misses": dict(point.misses),
    }


def engine_body(figures: Figures) -> KvEngine:
    """Return the engine's state."""
    return {
        "running": figures.running,
        "waiting": figures.waiting,
        "pages": dict(figures.pages),
        "page_budget": sum(figures.pages.values()),
        "audits": dict(figures.audits),
        "quarantined": figures.quarantined,
        "counters": dict(figures.counters),
        "gauges": dict(figures.gauges),
    }


def tier_body(tier: TierState) -> KvTier:
    """Return one tier of the store."""
    return {"name": tier.name, "pages": tier.pages, "bytes": tier.size, "budget": tier.budget}


def miss_body(entry: MissEntry, *, own: bool) -> KvMiss:
    """Return a miss; of another tenant's, where ``own`` is false, without its document."""
    return {
        "object": "kv_miss",
        "id": entry.id,
        "at": round(entry.at, 3),
        "tenant": entry.tenant,
        "model": entry.model,
        "reason": entry.reason,
        "cause": entry.cause,
        "document": entry.document if own else None,
        "prompt_tokens": entry.prompt_tokens,
        "cached_tokens": entry.cached_tokens,
        "ttft_s": None if entry.ttft_s is None else round(entry.ttft_s, 4),
    }


def _ttft(found: TtftQuantiles) -> KvTtft:
    return {"count": found.count, "p50_s": _rounded(found.p50), "p99_s": _rounded(found.p99)}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)

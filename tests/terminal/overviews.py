"""Overviews as a proxy sends them, for tests of what shows them."""

from __future__ import annotations

from typing import Any

NOTHING = {"count": 0, "p50_s": None, "p99_s": None}
MONEY = {"nano": 12_300_000, "amount": "0.0123", "currency": "USD"}


def sums(requests: int, cached: int, prompt: int) -> dict[str, Any]:
    return {
        "requests": requests,
        "hits": requests - 1 if requests else 0,
        "misses": 1 if requests else 0,
        "cold": 0,
        "prompt_tokens": prompt,
        "cached_tokens": cached,
        "completion_tokens": 40,
        "hit_share": cached / prompt if prompt else None,
        "saved_s": cached / 100,
        "saved": [MONEY] if cached else [],
    }


def point(at: int, cached: int) -> dict[str, Any]:
    return {"at": at, "requests": 1, "cached_tokens": cached}


ENGINE = {
    "running": 2,
    "waiting": 1,
    "pages": {"free": 300, "used": 120, "evictable": 92},
    "page_budget": 512,
    "audits": {"passed": 4, "failed": 0, "dropped": 0},
    "quarantined": 0,
    "counters": {},
    "gauges": {},
}

OVERVIEW: dict[str, Any] = {
    "object": "kv_overview",
    "tenant": "ann",
    "at": 1_790_000_000.0,
    "version": "1.2.3",
    "uptime_s": 11_520,
    "ready": True,
    "reason": None,
    "degraded": [],
    "models": ["small-model"],
    "published": {"versions": 3, "tokens": 4_000, "pages": 17},
    "today": sums(12, 45_120, 54_000),
    "total": sums(1_204, 3_201_233, 4_000_000),
    "recent": {
        "seconds": 7_200,
        "hit_ttft": {"count": 212, "p50_s": 0.021, "p99_s": 0.11},
        "miss_ttft": {"count": 40, "p50_s": 1.2, "p99_s": 3.4},
        "misses": {"timestamp": 12, "no-document": 5},
    },
    "series": [point(minute * 60, minute * 100) for minute in range(60)],
    "engine": ENGINE,
    "store": [
        {"name": "memory", "pages": 212, "bytes": 2**28, "budget": 2**29},
        {"name": "disk", "pages": 1_017, "bytes": 3 * 2**29, "budget": 2**34},
    ],
}

EMPTY: dict[str, Any] = {
    **OVERVIEW,
    "tenant": None,
    "today": sums(0, 0, 0),
    "total": sums(0, 0, 0),
    "recent": {"seconds": 7_200, "hit_ttft": NOTHING, "miss_ttft": NOTHING, "misses": {}},
    "series": [point(minute * 60, 0) for minute in range(60)],
    "published": {"versions": 0, "tokens": None, "pages": None},
    "engine": None,
    "store": None,
}

HIT: dict[str, Any] = {
    "at": 1_790_000_000.0,
    "outcome": "hit",
    "prompt_tokens": 3_800,
    "cached_tokens": 3_774,
    "ttft_s": 0.021,
    "document": "handbook@3",
    "cause": None,
    "reason": None,
}

MISS: dict[str, Any] = {
    "at": 1_790_000_000.0,
    "tenant": "bob",
    "prompt_tokens": 900,
    "cached_tokens": 0,
    "ttft_s": 1.25,
    "document": None,
    "cause": "timestamp",
    "reason": "no-document",
}

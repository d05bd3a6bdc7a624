"""``kvproxy bench evict``: the cache's eviction on made-up traffic, beside the usual policies and the optimum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.table import Table

from kvproxy.bench.engine.cache_replay import POLICIES, replay
from kvproxy.bench.machine import engine_machine
from kvproxy.bench.optimum import most_saved
from kvproxy.bench.trace import TracePlan, TraceStep, make_trace
from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_costs import ASSUMED_FLOPS, PageWork
from kvproxy.terminal.tables import console

QWEN3_4B = PageWork.of(layers=36, hidden=2560, heads=32, kv_heads=8, head_dim=128, intermediate=9728)
SHARES = (0.05, 0.15, 0.45)
"""Pages in memory, as a share of all pages that the trace ever makes."""

_NAMES = {
    "value": "kvproxy (GreedyDual, cost x reuse)",
    "lru": "least recently used",
    "lfu": "least frequently used, counts outlive the page",
    "farthest": "Belady: furthest next use (knows the future)",
}


def bench_evict(
    plan: TracePlan, *, progress: Callable[[int, int], None] | None = None, work: PageWork = QWEN3_4B
) -> dict[str, Any]:
    """Replay one trace against the real cache for each policy and size of memory. Only the model is missing: work
    is counted, not done. ``*_share`` are shares of the work of a server that keeps nothing.

    Example: ``bench_evict(TracePlan())``
    """
    say = progress or (lambda *_: None)
    steps = make_trace(plan)
    distinct = _distinct_pages(steps)
    total = sum(work.span(0, len(s.visit.token_ids)) for s in steps)
    rows: list[dict[str, Any]] = []
    for done, share in enumerate(SHARES):
        say(done, len(SHARES))
        pages = max(2, int(distinct * share))
        bound = most_saved(steps, pages, work) / total
        rows.append(
            {"pages": pages, "bound_share": round(bound, 4), "policies": _replays(steps, pages, work, bound)}
        )
    say(len(SHARES), len(SHARES))
    return {
        "machine": engine_machine(),
        "trace": {
            "requests": len(steps),
            "tokens": sum(len(s.visit.token_ids) for s in steps),
            "pages": distinct,
            "seed": plan.seed,
            "repeated_share": round(sum(work.span(0, s.reuse) for s in steps) / total, 4),
        },
        "assumed_flops": ASSUMED_FLOPS,
        "sizes": rows,
    }


def _replays(steps: list[TraceStep], pages: int, work: PageWork, bound: float) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for policy in POLICIES:
        got = replay([s.visit for s in steps], pages, work, policy)
        saved = got.saved_work / got.work
        rows.append(
            {
                "policy": policy,
                "hit_share": round(got.cached_tokens / got.tokens, 4),
                "recomputed_tokens": got.tokens - got.cached_tokens,
                "saved_s": round(got.saved_work / ASSUMED_FLOPS, 1),
                "saved_share": round(saved, 4),
                "of_bound": round(saved / bound, 4) if bound else None,
                "evictions": got.evictions,
                "us_per_request": round(got.cache_s / len(steps) * 1e6, 1),
            }
        )
    lru = next(row["saved_share"] for row in rows if row["policy"] == "lru")
    for row in rows:
        row["of_lru"] = round(row["saved_share"] / lru, 4) if lru else None
    return rows


def _distinct_pages(steps: list[TraceStep]) -> int:
    """Pages of documents and conversations that are ever made; questions are left out."""
    pages = 0
    for step in steps:
        end = step.visit.shared_end or len(step.visit.token_ids)
        pages += max(0, end // PAGE_TOKENS - step.reuse // PAGE_TOKENS)
    return pages


def print_evict(result: Mapping[str, Any]) -> None:
    """Print the table of ``kvproxy bench evict``."""
    trace = result["trace"]
    out = console()
    for size in result["sizes"]:
        table = Table(
            "policy",
            "hits, of tokens",
            "recomputed tokens",
            "prefill saved",
            "of all",
            "of LRU's",
            "of the bound",
            "evictions",
            "per request",
            title=f"{size['pages']:,} of {trace['pages']:,} pages in memory; "
            f"no policy can save more than {size['bound_share']:.1%}",
        )
        for row in size["policies"]:
            table.add_row(
                _NAMES[row["policy"]],
                f"{row['hit_share']:.1%}",
                f"{row['recomputed_tokens']:,}",
                f"{row['saved_s']:,.0f} s",
                f"{row['saved_share']:.1%}",
                _ratio(row["of_lru"]),
                _ratio(row["of_bound"]),
                f"{row['evictions']:,}",
                f"{row['us_per_request']:,.0f} us",
            )
        out.print(table)
    out.print(
        f"{trace['requests']:,} requests of {trace['tokens']:,} tokens (seed {trace['seed']}); with memory without end "
        f"{trace['repeated_share']:.1%} of the prefill would be saved. Seconds are of a Qwen3-4B at "
        f"{result['assumed_flops'] / 1e9:,.0f} GFLOP/s. The bound is the linear program's (pages in parts, at their "
        "chain's mean value), by weak duality: it may lie above what is possible, never below. "
        f"{result['machine']['cpu']}, {result['machine']['system']}.",
        soft_wrap=True,
    )


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"

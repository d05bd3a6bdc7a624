"""`overview_shown`: the figures of the overview, from those of the usage book and the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kvproxy.dashboard.chart_table import ChartSeries, ChartTable, chart_rows
from kvproxy.dashboard.shown_values import count, seconds, share
from kvproxy.dashboard.view_scope import ViewScope
from kvproxy.telemetry.metrics import Figures
from kvproxy.telemetry.usage.ttft_histogram import TtftQuantiles
from kvproxy.telemetry.usage.usage_overview import UsageOverview
from kvproxy.telemetry.usage.usage_series import UsagePoint
from kvproxy.telemetry.usage.usage_sums import UsageSums

MOST_CAUSES = 5
"""Causes with a colour of their own; the rarer ones are drawn together."""
OTHERS = "others"
LEAST_POINTS = 15


@dataclass(frozen=True, slots=True)
class EngineShown:
    """The engine at this moment, of all tenants together."""

    running: int
    waiting: int
    pages_used: int
    """Pages with KV in them, those that may make room included."""
    pages_free: int
    audits_done: int
    audits_wrong: int
    quarantined: int

    @property
    def page_budget(self) -> int:
        """Pages in all; 0 where this process computes nothing itself."""
        return self.pages_used + self.pages_free

    @property
    def used_share(self) -> float | None:
        """The used part of the budget, 0 to 1."""
        return self.pages_used / self.page_budget if self.page_budget else None


@dataclass(frozen=True, slots=True)
class OverviewShown:
    """The overview of one tenant, or of all together."""

    whose: str
    today: UsageSums
    total: UsageSums
    hit_ttft: TtftQuantiles
    """Of the last two hours."""
    miss_ttft: TtftQuantiles
    engine: EngineShown | None
    """None for a key that may not see the metrics."""
    priced: bool
    """True where a tariff counts now."""

    @property
    def currencies(self) -> tuple[str, ...]:
        """The currencies of what was saved in all."""
        return tuple(sorted(self.total.saved))

    @property
    def faster(self) -> float | None:
        """The median miss's time to the first token over the median hit's."""
        hit, miss = self.hit_ttft.p50, self.miss_ttft.p50
        return None if not hit or miss is None else miss / hit

    @property
    def summary(self) -> str:
        """A sentence for screen readers; live figures are read out as this."""
        return (
            f"Today {count(self.today.cached_tokens)} tokens skipped of {count(self.today.prompt_tokens)}, "
            f"{count(self.today.hits)} hits and {count(self.today.misses)} misses."
        )


def overview_shown(
    usage: UsageOverview, engine: Figures | None, scope: ViewScope, *, priced: bool
) -> OverviewShown:
    """Return the figures that the caller may see: its own, or for an admin the sums of all tenants. ``engine``: None
    where the caller may not see the engine's.

    Example: ``overview_shown(await usage.overview(scope.tenant), figures(), scope, priced=False)``
    """
    return OverviewShown(
        "all tenants" if scope.everyone else scope.caller.name,
        usage.today,
        usage.total,
        usage.hit_ttft,
        usage.miss_ttft,
        _engine(engine) if engine is not None and scope.may("metrics", "admin") else None,
        priced,
    )


def overview_charts(points: Sequence[UsagePoint]) -> tuple[ChartTable, ...]:
    """Return the charts of the last hours: hit share, times to the first token, misses by cause.

    They begin with the first request, and show LEAST_POINTS where that is not long ago.
    """
    first = next((at for at, point in enumerate(points) if point.requests), len(points))
    shown = points[max(0, min(first, len(points) - LEAST_POINTS)) :]
    return (_hit_shares(shown), _ttfts(shown), _causes(shown))


def _engine(figures: Figures) -> EngineShown:
    pages, audits = figures.pages, figures.audits
    free = pages.get("free", 0)
    return EngineShown(
        running=figures.running,
        waiting=figures.waiting,
        pages_used=sum(pages.values()) - free,
        pages_free=free,
        audits_done=audits.get("passed", 0) + audits.get("failed", 0),
        audits_wrong=audits.get("failed", 0),
        quarantined=figures.quarantined,
    )


def _hit_shares(points: Sequence[UsagePoint]) -> ChartTable:
    series = (ChartSeries("Hit share", 1, share),)
    rows = [(p.at, (p.cached_tokens / p.prompt_tokens if p.prompt_tokens else None,)) for p in points]
    return ChartTable("Hit share by tokens", "lines", "share", series, chart_rows(series, rows))


def _ttfts(points: Sequence[UsagePoint]) -> ChartTable:
    series = (
        ChartSeries("Hits p50", 1, seconds),
        ChartSeries("Hits p99", 1, seconds, dashed=True),
        ChartSeries("Misses p50", 2, seconds),
        ChartSeries("Misses p99", 2, seconds, dashed=True),
    )
    rows = [(p.at, (p.hit_ttft.p50, p.hit_ttft.p99, p.miss_ttft.p50, p.miss_ttft.p99)) for p in points]
    return ChartTable("Time to the first token", "lines", "seconds", series, chart_rows(series, rows))


def _causes(points: Sequence[UsagePoint]) -> ChartTable:
    sums: Counter[str] = Counter()
    for point in points:
        sums.update(point.misses)
    named = [cause for cause, _ in sums.most_common(MOST_CAUSES)]
    shown = [*named, OTHERS] if len(sums) > MOST_CAUSES else named
    series = tuple(ChartSeries(cause, at + 1, count) for at, cause in enumerate(shown))
    rows = [(p.at, [_misses(p, cause, named) for cause in shown]) for p in points]
    return ChartTable("Misses by cause", "bars", "count", series, chart_rows(series, rows))


def _misses(point: UsagePoint, cause: str, named: Sequence[str]) -> float | None:
    if not point.requests:
        return None
    if cause != OTHERS:
        return point.misses.get(cause, 0)
    return sum(number for other, number in point.misses.items() if other not in named)

"""`MissesView`: misses by cause over time, and the newest of them; one miss with what differed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from kvproxy.core.miss_causes import MissCause
from kvproxy.core.miss_remedies import REMEDIES, Remedy
from kvproxy.dashboard.chart_table import ChartSeries, ChartTable, chart_rows
from kvproxy.dashboard.shown_values import count
from kvproxy.telemetry.usage.usage_overview import MissEntry
from kvproxy.telemetry.usage.usage_series import UsagePoint

MOST_CAUSES = 5
"""Causes with bars of their own in the chart; the others are one together, in the last of its six colours."""

OTHERS = "others"
BAR_S = 300.0
"""Seconds of one bar. Bars begin at whole five minutes of the clock, so that a minute later they are the same ones."""


@dataclass(frozen=True, slots=True)
class CauseRow:
    """One cause over the time that is shown."""

    cause: str
    misses: int
    remedy: Remedy
    query: str
    """The link's query that shows the newest of it."""
    chosen: bool


@dataclass(frozen=True, slots=True)
class MissRow:
    """One miss."""

    entry: MissEntry
    own: bool
    """True where it is the caller's own: only then may its text be shown."""
    remedy: Remedy


@dataclass(frozen=True, slots=True)
class MissesView:
    """The misses that a caller may see."""

    causes: tuple[CauseRow, ...]
    times: ChartTable
    newest: tuple[MissRow, ...]
    cause: str
    """The cause that the newest are restricted to; empty: all."""
    misses: int
    """Over the time that is shown."""
    everyone: bool
    """True where they are all tenants'."""


def misses_view(
    series: Sequence[UsagePoint], newest: Sequence[MissEntry], *, tenant: str, cause: str, everyone: bool
) -> MissesView:
    """Return what the view of misses shows. ``tenant``: the caller's own; ``cause``: that of ``newest``.

    Example: ``misses_view(figures.series, usage.misses("alice", 50), tenant="alice", cause="", everyone=False)``
    """
    counts = Counter[str]()
    for point in series:
        counts.update(point.misses)
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    whose = "all" if everyone else "own"
    return MissesView(
        tuple(
            CauseRow(name, counts[name], remedy_of(name), f"whose={whose}&cause={name}", name == cause)
            for name in ordered
        ),
        _times(series, ordered),
        tuple(MissRow(entry, entry.tenant == tenant, remedy_of(entry.cause)) for entry in newest),
        cause,
        counts.total(),
        everyone,
    )


def remedy_of(cause: str) -> Remedy:
    """Return the meaning of a cause and what to do about it; the unknown one's for a word that is none."""
    return REMEDIES[MissCause(cause) if cause in set(MissCause) else MissCause.UNKNOWN]


def _times(series: Sequence[UsagePoint], ordered: Sequence[str]) -> ChartTable:
    own, others = tuple(ordered[:MOST_CAUSES]), len(ordered) > MOST_CAUSES
    names = (*own, OTHERS) if others else own
    bars = tuple(ChartSeries(name, colour, count) for colour, name in enumerate(names, 1))
    values = [
        (
            BAR_S * bar,
            [sum(of) for of in zip(*(_of_causes(x.misses, own, others=others) for x in points), strict=True)],
        )
        for bar, points in groupby(series, lambda point: point.at // BAR_S)
    ]
    return ChartTable("Misses by cause", "bars", "count", bars, chart_rows(bars, values))


def _of_causes(misses: Mapping[str, int], own: Sequence[str], *, others: bool) -> tuple[int, ...]:
    found = tuple(misses.get(cause, 0) for cause in own)
    return (*found, sum(misses.values()) - sum(found)) if others else found

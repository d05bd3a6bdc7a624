"""`ChartTable`: the figures of a chart as a table. The chart is drawn from the table that is its text alternative, so
that the two cannot differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """One line or bar. ``colour``: ``1`` to ``6``, a custom property of kvproxy.css with this number."""

    label: str
    colour: int
    text: Callable[[float | None], str]
    """Writes a value of it."""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class ChartCell:
    """One value, as the chart and as the table show it. None: nothing is known."""

    value: float | None
    text: str


@dataclass(frozen=True, slots=True)
class ChartRow:
    """The values of one moment, one of each series. ``at``: Unix seconds."""

    at: float
    cells: tuple[ChartCell, ...]


@dataclass(frozen=True, slots=True)
class ChartTable:
    """A chart over time: lines, or bars that are stacked."""

    title: str
    kind: Literal["lines", "bars"]
    unit: Literal["share", "seconds", "count"]
    """Of all series: share (0 to 1), seconds, count."""
    series: tuple[ChartSeries, ...]
    rows: tuple[ChartRow, ...]
    """The oldest first."""

    @property
    def empty(self) -> bool:
        """True where there is nothing to draw."""
        return all(cell.value is None for row in self.rows for cell in row.cells)


def chart_rows(
    series: Sequence[ChartSeries], values: Iterable[tuple[float, Sequence[float | None]]]
) -> tuple[ChartRow, ...]:
    """Return the rows of moments with their values, in the order of the series.

    Example: ``chart_rows(series, [(point.at, (point.p50, point.p99)) for point in points])``
    """
    return tuple(
        ChartRow(at, tuple(ChartCell(v, s.text(v)) for s, v in zip(series, row, strict=True)))
        for at, row in values
    )

"""Pacing: limits the prompt rows of a step while streams run. Pure decisions; durations are passed in, never measured.

A stream's gap is a decode tile and the work between it and the next one. Prompts get the rest of ``GAP`` decode
steps, at any depth of the prompt: short remainders as rows of the decode tile itself, long ones as some layers of a
tile of their own (``long_prefill``).
"""

from __future__ import annotations

import statistics
from collections import deque

from kvproxy.engine.loop.tile_cost import TileCost
from kvproxy.engine.tiling.numerics import Numerics

GAP = 1.75
"""A stream's gap while prompts are computed, in undisturbed decode steps. The promise is 3 at the 99th percentile;
the rest is a reserve for unforeseen delays. A prefill gets three sevenths of the time then."""
GAP_OWED = 2.5
"""The gap while the prompt's tenant used less compute than any tenant with running streams: it gets three fifths of
the time until its tenant has caught up, so that many streams of other tenants do not leave it less than a half."""
PIECE = 0.75
"""The share of a gap's time for prompts that one piece of a tile may be expected to take: a piece is not divided."""
LONGEST_PIECE_S = 0.1
"""Seconds of a piece while no stream runs: a new request waits for its end. Tiles get no smaller than SHORT_ROWS for
that."""
SHORT_ROWS = 64
"""Rows of a prompt that is short: it is computed in one tile. And the rows of a long one's while nothing is known of
their cost."""
FEWEST_ROWS = 4
"""Rows that a long prompt gets in a tile beside streams even when they take too long, so that it ends."""
_STEPS = 15
_SAMPLES = 2
"""Prompt tiles to be measured before their cost is predicted."""


class Pace:
    """Decides the size of the next tiles from the durations of those that ran. One per engine."""

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=_STEPS)
        self._cost = TileCost()
        self._pieces = 1

    @property
    def step_s(self) -> float | None:
        """An undisturbed decode step of the streams that ran lately; None before the first."""
        return statistics.median(self._steps) if self._steps else None

    def decoded(self, seconds: float) -> None:
        """Record the duration of a tile of decode rows alone."""
        self._steps.append(seconds)

    def prefilled(self, rows: int, reach: int, seconds: float, pieces: int | None = None) -> None:
        """Record the duration of a tile with prompt rows, and the number of pieces if it was computed in pieces.

        ``reach``: as ``TileWork.reach``. Example: ``pace.prefilled(256, 256 * 1000, seconds=0.3, pieces=12)``
        """
        self._cost.observe(rows, reach, seconds)
        if pieces is not None:
            self._pieces = pieces

    def may_ride(self, rows: int, reach: int) -> bool:
        """Return whether a decode tile may take ``rows`` prompt rows with it. ``reach``: their ``TileWork.reach``."""
        step = self.step_s
        if step is None or self._cost.observed < _SAMPLES:
            return rows <= SHORT_ROWS
        return self._cost.added(rows, reach) <= (GAP - 1) * step

    def slice_s(self, spent_s: float, *, owed: bool = False) -> float:
        """Return the seconds for tiles of long prompts behind a step of decode rows that took ``spent_s``.

        ``owed``: a prompt's tenant used less compute than the tenants of those rows.
        """
        return max(0.0, (GAP_OWED if owed else GAP) * (self.step_s or spent_s) - spent_s)

    def rows(self, numerics: Numerics, start: int, *, streams: bool) -> int:
        """Return the most rows that the next tile of a long prompt at position ``start`` may have.

        Example: ``pace.rows(model.numerics, 4096, streams=True)``
        """
        step = self.step_s if streams else None
        if self._cost.observed < _SAMPLES:
            return min(SHORT_ROWS, numerics.largest) if streams else numerics.largest
        if step is None:
            limit, sizes = LONGEST_PIECE_S, numerics.choices(min(SHORT_ROWS, numerics.largest))
        else:
            limit = PIECE * (GAP - 1) * step
            sizes = [*numerics.choices(9), *(n for n in (8, FEWEST_ROWS) if n < numerics.largest)]
        for rows in sizes:
            if self._cost.predict(numerics.tile_for(rows), rows * start) <= limit * self._pieces:
                return rows
        return sizes[-1]

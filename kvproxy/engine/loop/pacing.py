"""How much of a step prompts may take while streams run. Pure decisions; times are told, never taken.

A stream's gap is a decode tile and what is done between it and the next one. Prompts get what is left of
``GAP`` decode steps, whatever the prompt's depth: short remainders as rows of the decode tile itself, long ones
as some layers of a tile of their own (``prefill``).
"""

from __future__ import annotations

import statistics
from collections import deque

from kvproxy.engine.forward.invariance import BASE_TILE, Numerics
from kvproxy.engine.loop.tile_cost import TileCost

GAP = 1.75
"""A stream's gap while prompts are computed, in undisturbed decode steps. What is promised is 3 at the 99th
percentile; the rest is for what cannot be foreseen. A prefill gets three sevenths of the time then."""
GAP_OWED = 2.5
"""The same, while the prompt is one of a tenant that had less compute than any whose streams run: it gets three fifths
of the time until it had as much, so that others' many streams do not leave it less than a half."""
PIECE = 0.75
"""Of the time for prompts in a gap, what one piece of a tile may be expected to take: a piece is not divided."""
LONGEST_PIECE_S = 0.1
"""While nobody streams: a newcomer waits for the end of a piece. Tiles get no smaller than BASE_TILE for that."""
FEWEST_ROWS = 4
"""While somebody does, a long prompt gets this many rows of a tile even where they take too long: it ends."""
_STEPS = 15
_SAMPLES = 2
"""Tiles of prompts that must have been seen before their cost is predicted."""


class Pace:
    """Told of every tile that ran, says how large the next may be. One per engine."""

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=_STEPS)
        self._cost = TileCost()
        self._pieces = 1

    @property
    def step_s(self) -> float | None:
        """An undisturbed decode step of the streams that ran lately; None before the first."""
        return statistics.median(self._steps) if self._steps else None

    def decoded(self, seconds: float) -> None:
        """A tile of decode rows alone took so long."""
        self._steps.append(seconds)

    def prefilled(self, rows: int, reach: int, seconds: float, pieces: int | None = None) -> None:
        """A tile of so many rows, some of them of prompts, took so long, in so many pieces if it was computed in
        pieces. ``reach``: as ``Work.reach``."""
        self._cost.observe(rows, reach, seconds)
        if pieces is not None:
            self._pieces = pieces

    def may_ride(self, rows: int, reach: int) -> bool:
        """Whether a decode tile may take so many rows of prompts along. ``reach``: as ``Work.reach``, of them."""
        step = self.step_s
        if step is None or self._cost.observed < _SAMPLES:
            return rows <= BASE_TILE
        return self._cost.added(rows, reach) <= (GAP - 1) * step

    def slice_s(self, spent_s: float, *, owed: bool = False) -> float:
        """Seconds for the tiles of long prompts behind a step of decode rows that took ``spent_s``. ``owed``: they
        are of a tenant that had less than those whose rows they were."""
        return max(0.0, (GAP_OWED if owed else GAP) * (self.step_s or spent_s) - spent_s)

    def rows(self, numerics: Numerics, start: int, *, streams: bool) -> int:
        """How many rows the next tile of a long prompt at position ``start`` may have at most."""
        tiles = [*reversed(numerics.tiles)]
        step = self.step_s if streams else None
        if self._cost.observed < _SAMPLES:
            return BASE_TILE if streams else tiles[0]
        if step is None:
            limit, sizes = LONGEST_PIECE_S, [n for n in tiles if n >= BASE_TILE]
        else:
            limit = PIECE * (GAP - 1) * step
            sizes = [*(n for n in tiles if n > 8), *(n for n in (8, FEWEST_ROWS) if n < tiles[0])]
        for rows in sizes:
            if self._cost.predict(numerics.tile_for(rows), rows * start) <= limit * self._pieces:
                return rows
        return sizes[-1]

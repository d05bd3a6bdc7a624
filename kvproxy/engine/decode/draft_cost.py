"""What one more row costs a decode tile, learned from the tiles that ran.

The weights are read once for the whole tile, so that a row costs little but its attention: seconds = base + slope *
reach, where reach sums the positions that each row attends to. Fitted by least squares with exponential forgetting.
The figures decide how many rows are drafted, never what they say.
"""

from __future__ import annotations

FORGET = 0.97
"""What earlier tiles count for after one more."""
PRIOR_REACH = 40_000.0
"""Positions whose attention takes as long as the rest of a tile, before anything was timed: SmolLM2-135M takes
30,000 on two cores with AVX512, larger models more."""
_PRIOR_WEIGHT = 4.0
"""In tiles whose reach differs from the mean by PRIOR_REACH / 8."""
_OUTLIER = 2.0
"""A tile that took so many times what was expected was slowed down by something else; the rest is cut off, so
that a machine that became slow for good is still learned, in a few tiles."""


class StepCost:
    """Engine thread only."""

    def __init__(self) -> None:
        self._weight = self._reach = self._seconds = 0.0  # means of the last two
        self._spread = self._slope_sum = 0.0

    def add(self, reach: int, seconds: float) -> None:
        """A tile of at most DECODE_TILE rows, all of them decode or draft rows or padding, was timed."""
        if self._weight > 0:
            seconds = min(seconds, _OUTLIER * self._expected(reach))
        self._weight = self._weight * FORGET + 1.0
        from_mean = reach - self._reach
        self._reach += from_mean / self._weight
        late = seconds - self._seconds
        self._seconds += late / self._weight
        self._spread = self._spread * FORGET + from_mean * (reach - self._reach)
        self._slope_sum = self._slope_sum * FORGET + from_mean * (seconds - self._seconds)

    def row(self, depth: int, reach: int) -> float:
        """The share of a step of ``reach`` that one more row at position ``depth`` takes."""
        if self._weight == 0:
            return depth / (PRIOR_REACH + reach)
        expected = self._expected(reach)
        return self._slope() * depth / expected if expected > 0 else 0.0

    def _expected(self, reach: int) -> float:
        return max(self._seconds + self._slope() * (reach - self._reach), self._seconds / 4)

    def _slope(self) -> float:
        """Seconds per position: of the fit, drawn towards the prior as far as too little differed to tell."""
        prior = self._seconds / (PRIOR_REACH + self._reach)
        pull = _PRIOR_WEIGHT * (PRIOR_REACH / 8) ** 2
        return max(0.0, (self._slope_sum + pull * prior) / (self._spread + pull))

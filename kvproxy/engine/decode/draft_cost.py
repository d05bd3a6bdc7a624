"""Draft cost: predicts the time that one more row adds to a decode tile, from the tiles that ran.

The weights are read once for the whole tile, so that a row costs little but its attention: seconds = base + slope *
reach, where reach sums the positions that each row attends to. Fitted by least squares with exponential forgetting.
The figures decide the number of drafted rows, never a token.
"""

from __future__ import annotations

FORGET = 0.97
"""Weight of the earlier tiles after one more."""
PRIOR_REACH = 40_000.0
"""Reach at which attention takes as long as the rest of a tile, as assumed before the first timed tile: SmolLM2-135M
takes 30,000 on two cores with AVX512, larger models more."""
_PRIOR_WEIGHT = 4.0
"""Weight of the prior, in tiles with a reach PRIOR_REACH / 8 from the mean."""
_OUTLIER = 2.0
"""Multiple of the expected time at which a tile's time is cut off: it was slowed down by other work. A machine that
became slow for good is still learned, in a few tiles."""


class DraftCost:
    """A linear fit of a decode tile's seconds to its reach. Engine thread only."""

    def __init__(self) -> None:
        self._weight = self._reach = self._seconds = 0.0  # weight, mean reach, mean seconds
        self._spread = self._slope_sum = 0.0

    def add(self, reach: int, seconds: float) -> None:
        """Add a timed tile of few rows: decode rows, drafted rows and padding."""
        if self._weight > 0:
            seconds = min(seconds, _OUTLIER * self._expected(reach))
        self._weight = self._weight * FORGET + 1.0
        deviation = reach - self._reach
        self._reach += deviation / self._weight
        residual = seconds - self._seconds
        self._seconds += residual / self._weight
        self._spread = self._spread * FORGET + deviation * (reach - self._reach)
        self._slope_sum = self._slope_sum * FORGET + deviation * (seconds - self._seconds)

    def row(self, depth: int, reach: int) -> float:
        """Return the time of one more row at position ``depth``, as a share of a step of ``reach``."""
        if self._weight == 0:
            return depth / (PRIOR_REACH + reach)
        expected = self._expected(reach)
        return self._slope() * depth / expected if expected > 0 else 0.0

    def _expected(self, reach: int) -> float:
        return max(self._seconds + self._slope() * (reach - self._reach), self._seconds / 4)

    def _slope(self) -> float:
        """Return seconds per position: the fit's, drawn towards the prior while the reaches hardly differ."""
        prior = self._seconds / (PRIOR_REACH + self._reach)
        pull = _PRIOR_WEIGHT * (PRIOR_REACH / 8) ** 2
        return max(0.0, (self._slope_sum + pull * prior) / (self._spread + pull))

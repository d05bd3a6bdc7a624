"""Tile cost: predicts the seconds of a tile from the tiles that ran."""

from __future__ import annotations

from collections.abc import Sequence

_FEATURES = 3
_FORGET = 0.95
"""Weight of an observation at the next one: the last 20 decide, so that a busier machine is noticed."""
_RIDGE = 1e-6


class TileCost:
    """``seconds = a + b * rows + c * reach``, by least squares of the relative error with exponential forgetting.

    rows: of the tile, padding included; they set the cost of the matrix products. reach: the sum over the tile's rows
    of the positions before them; it sets the cost of attention. The three coefficients are never negative: one that
    would be is left out, and the others are fitted again.
    """

    _SCALE = (1.0, 1 / 64, 1 / 2**18)
    """Features are scaled to be of order one; the ridge is relative to that."""

    def __init__(self) -> None:
        self._squares = [[0.0] * _FEATURES for _ in range(_FEATURES)]
        self._targets = [0.0] * _FEATURES
        self._fit: tuple[float, ...] | None = None
        self.observed = 0

    def observe(self, rows: int, reach: int, seconds: float) -> None:
        """Add a tile's duration to the fit; one that is not positive is ignored.

        Example: ``cost.observe(rows=64, reach=64 * 2000, seconds=0.03)``
        """
        if seconds <= 0:
            return
        x = [f / seconds for f in self._features(rows, reach)]  # The target is 1: a relative error.
        for i in range(_FEATURES):
            self._targets[i] = self._targets[i] * _FORGET + x[i]
            for j in range(_FEATURES):
                self._squares[i][j] = self._squares[i][j] * _FORGET + x[i] * x[j]
        self._fit = None
        self.observed += 1

    def predict(self, rows: int, reach: int) -> float:
        """Return the seconds of such a tile; 0.0 before the first observation."""
        return sum(c * f for c, f in zip(self._coefficients(), self._features(rows, reach), strict=True))

    def added(self, rows: int, reach: int) -> float:
        """Return the seconds that rows add to a tile that is computed anyway."""
        return self.predict(rows, reach) - self.predict(0, 0)

    def _features(self, rows: int, reach: int) -> tuple[float, ...]:
        return tuple(v * s for v, s in zip((1, rows, reach), self._SCALE, strict=True))

    def _coefficients(self) -> tuple[float, ...]:
        if self._fit is None:
            free = list(range(_FEATURES))
            while True:
                fit = self._solve(free)
                worst = min(free, key=lambda i: fit[i])
                if fit[worst] >= 0:
                    break
                free.remove(worst)
            self._fit = tuple(fit)
        return self._fit

    def _solve(self, free: Sequence[int]) -> list[float]:
        """Solve the normal equations for the ``free`` coefficients, by elimination; the others are 0."""
        size = max((self._squares[i][i] for i in free), default=0.0)
        if size == 0.0:
            return [0.0] * _FEATURES
        rows = [
            [self._squares[i][j] + (_RIDGE * size if i == j else 0.0) for j in free] + [self._targets[i]]
            for i in free
        ]
        for at, pivot in enumerate(rows):
            for other in rows[at + 1 :]:
                factor = other[at] / pivot[at]
                other[at:] = [o - factor * p for o, p in zip(other[at:], pivot[at:], strict=True)]
        found = [0.0] * _FEATURES
        for at in reversed(range(len(free))):
            known = sum(rows[at][k] * found[free[k]] for k in range(at + 1, len(free)))
            found[free[at]] = (rows[at][-1] - known) / rows[at][at]
        return found

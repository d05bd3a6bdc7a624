"""`TtftHistogram`: times to the first token in buckets that grow by 9 %, and the quantiles of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_LEAST_S = 1e-4
_PER_DOUBLING = 8
_LAST = 27 * _PER_DOUBLING
"""Some three and a half hours: longer times are counted as that."""


@dataclass(frozen=True, slots=True)
class TtftQuantiles:
    """Seconds to the first token, within 5 %; None where nothing was measured."""

    count: int = 0
    p50: float | None = None
    p99: float | None = None


NO_TTFT = TtftQuantiles()
"""Of no request."""


class TtftHistogram:
    """Counts by bucket, in a dictionary of those that are used: at most 217.

    Example: ``histogram = TtftHistogram(); histogram.add(0.21); histogram.quantiles().p50``
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one time."""
        ratio = seconds / _LEAST_S
        bucket = 0 if ratio <= 1.0 else min(_LAST, int(math.log2(ratio) * _PER_DOUBLING) + 1)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1

    def quantiles(self) -> TtftQuantiles:
        """Return the median and the 99th percentile, each as the middle of its bucket."""
        return _quantiles(self._counts)

    @staticmethod
    def together(histograms: Iterable[TtftHistogram]) -> TtftQuantiles:
        """Return the quantiles of all times of several histograms."""
        counts: dict[int, int] = {}
        for histogram in histograms:
            for bucket, count in histogram._counts.items():
                counts[bucket] = counts.get(bucket, 0) + count
        return _quantiles(counts)


def _quantiles(counts: dict[int, int]) -> TtftQuantiles:
    total = sum(counts.values())
    if not total:
        return NO_TTFT
    ordered = sorted(counts.items())
    return TtftQuantiles(total, _at(ordered, total * 0.5), _at(ordered, total * 0.99))


def _at(ordered: list[tuple[int, int]], rank: float) -> float:
    seen = 0
    for bucket, count in ordered:
        seen += count
        if seen >= rank:
            return _middle(bucket)
    return _middle(ordered[-1][0])


def _middle(bucket: int) -> float:
    return _LEAST_S * 2.0 ** ((bucket - 0.5) / _PER_DOUBLING) if bucket else _LEAST_S

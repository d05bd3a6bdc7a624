"""`TtftHistogram`: times to the first token in buckets that grow by 9 %, and the quantiles of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kvproxy.telemetry.usage.packed_counts import pack_counts, unpack_counts

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
    """Counts by bucket, of those that are used: at most 217. Packed, they take some two bytes each.

    Example: ``histogram = TtftHistogram(); histogram.add(0.21); histogram.quantiles().p50``
    """

    __slots__ = ("_counts", "_packed")

    def __init__(self) -> None:
        self._counts: dict[int, int] | None = None
        self._packed = b""
        """The counts while they are packed."""

    def add(self, seconds: float) -> None:
        """Count one time."""
        ratio = seconds / _LEAST_S
        bucket = 0 if ratio <= 1.0 else min(_LAST, int(math.log2(ratio) * _PER_DOUBLING) + 1)
        counts = self._counts
        if counts is None:
            counts = self._counts = unpack_counts(self._packed)
        counts[bucket] = counts.get(bucket, 0) + 1

    def pack(self) -> None:
        """Take less memory, until a time is counted again."""
        if self._counts is not None:
            self._packed, self._counts = pack_counts(self._counts), None

    def counts(self) -> Mapping[int, int]:
        """Return the counts by bucket."""
        return unpack_counts(self._packed) if self._counts is None else self._counts

    def quantiles(self) -> TtftQuantiles:
        """Return the median and the 99th percentile, each as the middle of its bucket."""
        return quantiles_of(self.counts())

    @staticmethod
    def together(histograms: Iterable[TtftHistogram]) -> Counter[int]:
        """Return the counts of several histograms."""
        counts = Counter[int]()
        for histogram in histograms:
            counts.update(histogram.counts())
        return counts


def quantiles_of(counts: Mapping[int, int]) -> TtftQuantiles:
    """Return the quantiles of counts by bucket.

    Example: ``quantiles_of(TtftHistogram.together(histograms)).p99``
    """
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

"""Times to the first token: quantiles within 5 % of the real ones, in bounded memory."""

from __future__ import annotations

import random

import pytest

from kvproxy.telemetry.usage.ttft_histogram import NO_TTFT, TtftHistogram, quantiles_of


@pytest.mark.parametrize("median", [0.0007, 0.02, 1.3, 40.0])
def test_quantiles_are_near_the_real_ones(median: float) -> None:
    chosen = random.Random(7)
    times = sorted(median * chosen.lognormvariate(0, 1) for _ in range(2_000))
    histogram = TtftHistogram()
    for seconds in times:
        histogram.add(seconds)
    found = histogram.quantiles()
    assert found.count == 2_000 and found.p50 is not None and found.p99 is not None
    assert found.p50 == pytest.approx(times[999], rel=0.06)
    assert found.p99 == pytest.approx(times[1_979], rel=0.06)


def test_nothing_has_no_quantile_and_extremes_have_one() -> None:
    histogram = TtftHistogram()
    assert histogram.quantiles() == NO_TTFT
    for seconds in (0.0, -1.0, 1e-9, 1e9):
        histogram.add(seconds)
    found = histogram.quantiles()
    assert found.count == 4 and found.p50 == pytest.approx(1e-4) and (found.p99 or 0) > 10_000


def test_the_buckets_are_few_whatever_comes() -> None:
    histogram = TtftHistogram()
    for number in range(20_000):
        histogram.add(1.001**number * 1e-5)
    assert len(histogram.counts()) <= 217


def test_several_count_as_one() -> None:
    fast, slow = TtftHistogram(), TtftHistogram()
    for _ in range(99):
        fast.add(0.01)
    slow.add(5.0)
    found = quantiles_of(TtftHistogram.together([fast, slow]))
    assert found.count == 100
    assert found.p50 == pytest.approx(0.01, rel=0.05) and found.p99 == pytest.approx(0.01, rel=0.05)
    assert quantiles_of(TtftHistogram.together([slow])).p50 == pytest.approx(5.0, rel=0.05)


def test_packed_counts_are_the_same_and_go_on() -> None:
    histogram, other = TtftHistogram(), TtftHistogram()
    for number in range(3_000):
        for one in (histogram, other):
            one.add(1.01**number * 1e-4 if number % 3 else 0.02)
        if number % 700 == 0:
            histogram.pack()
    histogram.pack()
    histogram.pack()
    assert dict(histogram.counts()) == dict(other.counts())
    assert histogram.quantiles() == other.quantiles()

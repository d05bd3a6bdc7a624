"""The series of minutes: fixed steps, a ring that forgets, and nothing that comes too late."""

from __future__ import annotations

import sys

from kvproxy.core.miss_causes import MissCause
from kvproxy.telemetry.usage.usage_series import STEP_S, STEPS, UsageSeries
from tests.telemetry.usage.ended import NOON, hit, miss


def test_points_have_fixed_steps_oldest_first() -> None:
    series = UsageSeries()
    series.count(hit(at=NOON - STEP_S))
    series.count(hit(at=NOON))
    series.count(miss(at=NOON + 59.9))
    points = series.points(NOON + 59.9)
    assert len(points) == STEPS
    assert [point.at for point in points] == [int(NOON) - STEP_S * back for back in range(STEPS - 1, -1, -1)]
    before, last = points[-2:]
    assert (before.requests, last.requests, points[0].requests) == (1, 2, 0)
    assert (last.prompt_tokens, last.cached_tokens, last.misses) == (2_000, 900, {"timestamp": 1})
    assert last.hit_ttft.count == last.miss_ttft.count == 1


def test_a_minute_takes_the_place_of_the_one_before_it_in_the_ring() -> None:
    series = UsageSeries()
    series.count(hit(at=NOON))
    later = NOON + STEP_S * STEPS
    assert sum(point.requests for point in series.points(later)) == 0, "it is two hours old"
    assert series.ttft(later)[0].count == 0
    series.count(hit(at=later))
    assert [point.requests for point in series.points(later)][-1] == 1


def test_a_clock_that_was_ahead_is_put_right() -> None:
    """A request ends now: a step of the future is one of a clock that was wrong."""
    series, ahead = UsageSeries(), NOON + STEP_S * STEPS
    series.count(hit(at=ahead))
    assert series.ttft(NOON)[0].count == 0 and sum(point.requests for point in series.points(NOON)) == 0
    for _ in range(2):
        series.count(miss(at=NOON))
    assert series.points(NOON)[-1].requests == 2 and series.ttft(NOON)[1].count == 2


def test_the_quantiles_are_of_all_points() -> None:
    series = UsageSeries()
    for minute in range(5):
        series.count(hit(at=NOON + minute * STEP_S))
        series.count(miss(at=NOON + minute * STEP_S, cause=None))
    hits, misses = series.ttft(NOON + 5 * STEP_S)
    assert (hits.count, misses.count) == (5, 5) and (hits.p50 or 1) < (misses.p50 or 0)
    assert series.points(NOON)[-1].misses == {"unknown": 1}


def test_a_request_without_a_served_model_is_a_request_alone() -> None:
    series = UsageSeries()
    series.count(hit(hit=None, ttft_s=None))
    point = series.points(NOON)[-1]
    assert (point.requests, point.prompt_tokens, point.hit_ttft.count, point.misses) == (1, 0, 0, {})


def test_a_minute_that_is_over_takes_few_bytes_and_has_the_same_figures() -> None:
    series, causes = UsageSeries(), [cause.value for cause in MissCause]
    for minute in range(3):
        for number in range(200):
            series.count(
                miss(at=NOON + minute * STEP_S, cause=causes[number % 20], ttft_s=1.04**number * 1e-3)
            )
    at = NOON + 2 * STEP_S
    first, second, third = series.points(at)[-3:]
    assert first.misses == third.misses == dict.fromkeys(causes[:20], 10)
    assert first.miss_ttft == second.miss_ttft == third.miss_ttft
    slots = [slot for slot in series._slots if slot is not None]
    sizes = [sys.getsizeof(slot._misses) + sys.getsizeof(slot.miss_ttft._packed) for slot in slots]
    assert sorted(sizes)[1] < 400 and slots[0].miss_ttft._counts is None


def test_what_comes_late_counts_among_the_times_of_all_points() -> None:
    series = UsageSeries()
    series.count(hit(at=NOON))
    series.count(hit(at=NOON + STEP_S))
    assert series.ttft(NOON + STEP_S)[0].count == 2
    series.count(hit(at=NOON + STEP_S))
    series.count(hit(at=NOON))
    assert series.ttft(NOON + STEP_S)[0].count == 4
    assert series.ttft(NOON + STEP_S * STEPS)[0].count == 2, "the first minute has gone"

"""The bounds of a call to an object store: attempts, places, and a store that is left alone."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from kvproxy.objects.bounded_calls import BoundedCalls, StoreErrors, first_line
from kvproxy.objects.circuit_breaker import FAILURES
from kvproxy.objects.object_address import ObjectAddress
from kvproxy.objects.object_results import ObjectsUnavailable

ERRORS = StoreErrors(answers=(FileNotFoundError,), refusals=(PermissionError,), failures=(OSError,))


def make(timeout_s: float = 60.0, attempts: int = 3, most_at_once: int = 8) -> BoundedCalls:
    address = ObjectAddress("s3://bucket/kv", {"secret_access_key": "s"}, timeout_s, attempts, most_at_once)
    return BoundedCalls(address, ERRORS)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest pause before each further attempt; none is made."""
    found: list[float] = []

    def longest(least: float, most: float) -> float:
        assert least == 0
        found.append(most)
        return 0.0

    monkeypatch.setattr(random, "uniform", longest)
    return found


class Failing:
    """A call that fails ``times`` times before it succeeds."""

    def __init__(
        self, times: int, error: Callable[[], Exception] = lambda: OSError("reset\nby peer")
    ) -> None:
        self.times, self.error, self.made = times, error, 0

    def __call__(self) -> str:
        self.made += 1
        if self.made <= self.times:
            raise self.error()
        return "done"


def test_a_failed_call_is_made_again_with_growing_pauses(pauses: list[float]) -> None:
    calls, call = make(), Failing(2)
    assert calls.make("read", call) == "done"
    assert call.made == 3 and pauses == pytest.approx([0.1, 0.4])
    assert calls.counts.failures == 2 and not calls.breaker.open


def test_the_last_attempts_failure_is_told_without_the_stores_words(pauses: list[float]) -> None:
    call = Failing(9)
    with pytest.raises(ObjectsUnavailable) as caught:
        make().make("read", call)
    assert call.made == 3 and caught.value.retry_after_s == 5
    assert caught.value.message == "the object store failed"
    assert caught.value.detail == "s3://bucket/kv failed: reset"
    once = Failing(9)
    with pytest.raises(ObjectsUnavailable):
        make().make("list", once, attempts=1)
    assert once.made == 1


def test_no_attempt_begins_once_the_time_is_over(pauses: list[float]) -> None:
    call = Failing(9)
    with pytest.raises(ObjectsUnavailable):
        make(timeout_s=0.0).make("read", call)
    assert call.made == 1 and pauses == []


def test_an_answer_is_the_callers_and_no_failure(pauses: list[float]) -> None:
    calls, call = make(), Failing(99, FileNotFoundError)
    for _ in range(2 * FAILURES):
        with pytest.raises(FileNotFoundError):
            calls.make("read", call)
    assert call.made == 2 * FAILURES and calls.counts.failures == 0 and not calls.breaker.open


def test_a_refusal_is_not_asked_again_and_leaves_other_calls_alone(pauses: list[float]) -> None:
    calls, call = make(), Failing(99, lambda: PermissionError("no writes"))
    for _ in range(2 * FAILURES):
        with pytest.raises(ObjectsUnavailable, match="refuses") as caught:
            calls.make("write", call)
        assert caught.value.retry_after_s == 60
    assert call.made == calls.counts.failures == 2 * FAILURES
    assert calls.make("read", lambda: "read") == "read"


def test_a_store_that_keeps_failing_is_left_alone(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    calls, call = make(attempts=1), Failing(99)
    with caplog.at_level(logging.WARNING):
        for _ in range(FAILURES):
            with pytest.raises(ObjectsUnavailable):
                calls.make("read", call)
        assert calls.breaker.open
        with pytest.raises(ObjectsUnavailable, match="left alone") as caught:
            calls.make("read", call)
    assert call.made == FAILURES and calls.counts.failures == FAILURES + 1
    assert caught.value.retry_after_s is not None and caught.value.retry_after_s >= 1
    assert len(caplog.records) == 1 and "by peer" not in caplog.text


def test_no_more_calls_than_places_are_made_at_once() -> None:
    calls, pairs, lock = make(most_at_once=2), threading.Barrier(2), threading.Lock()
    now, most = 0, 0

    def call() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        pairs.wait(30)
        with lock:
            now -= 1
        pairs.wait(30)

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(calls.make, "read", call) for _ in range(6)]:
            done.result()
    assert most == 2


def test_waiting_for_a_place_ends(pauses: list[float]) -> None:
    calls, held, entered = (
        make(timeout_s=0.01, attempts=1, most_at_once=1),
        threading.Event(),
        threading.Event(),
    )

    def hold() -> None:
        entered.set()
        assert held.wait(30)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(calls.make, "read", hold)
        assert entered.wait(30)
        with pytest.raises(ObjectsUnavailable) as caught:
            calls.make("read", lambda: None)
        held.set()
        first.result()
    assert caught.value.detail.endswith("1 other requests to it take all places")
    assert calls.make("read", lambda: "free again") == "free again"


def test_an_error_is_told_in_one_line() -> None:
    assert first_line(ValueError("\n  broken\nat line 1")) == "broken"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line(ValueError("x" * 9999))) == 300

"""A breaker's states, on a clock of the test's."""

from __future__ import annotations

from kvproxy.objects.circuit_breaker import FAILURES, FIRST_REST_S, LONGEST_REST_S, CircuitBreaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock, jitter: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(clock, lambda: jitter)
    assert [breaker.failed() for _ in range(FAILURES)] == [False] * (FAILURES - 1) + [True]
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = CircuitBreaker(Clock())
    for _ in range(3):
        for _ in range(FAILURES - 1):
            assert not breaker.failed()
        breaker.succeeded()
    assert breaker.allows() and not breaker.open


def test_open_it_lets_one_call_through_when_its_rest_is_over() -> None:
    clock = Clock()
    breaker = opened(clock)
    assert (breaker.open, breaker.allows(), breaker.rest_s) == (True, False, FIRST_REST_S)
    clock.now += FIRST_REST_S
    assert breaker.allows()
    assert not breaker.allows(), "the trial is one call's"
    breaker.succeeded()
    assert (breaker.allows(), breaker.open, breaker.rest_s) == (True, False, 0.0)


def test_a_trial_that_fails_doubles_the_rest_up_to_a_bound() -> None:
    clock = Clock()
    breaker = opened(clock)
    rests = []
    for _ in range(8):
        clock.now += breaker.rest_s
        assert breaker.allows()
        assert not breaker.failed(), "it was open before"
        rests.append(breaker.rest_s)
    assert rests[:3] == [2 * FIRST_REST_S, 4 * FIRST_REST_S, 8 * FIRST_REST_S]
    assert rests[-1] == LONGEST_REST_S
    assert breaker.opened == 9


def test_a_trial_that_is_never_heard_of_again_does_not_keep_it_open() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += FIRST_REST_S
    assert breaker.allows()
    clock.now += FIRST_REST_S
    assert breaker.allows()


def test_rests_are_shortened_at_random() -> None:
    assert opened(Clock(), jitter=1.0).rest_s == FIRST_REST_S / 2

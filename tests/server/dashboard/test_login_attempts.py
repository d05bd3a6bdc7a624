from __future__ import annotations

import pytest

from kvproxy.errors import Overloaded
from kvproxy.server.dashboard.login_attempts import (
    MOST_ADDRESSES,
    MOST_FAILED,
    WINDOW_S,
    LoginAttempts,
)


def test_an_address_that_failed_often_waits_and_others_do_not() -> None:
    attempts = LoginAttempts()
    for _ in range(MOST_FAILED):
        attempts.check("a", 100.0)
        attempts.failed("a", 100.0)
    with pytest.raises(Overloaded) as refused:
        attempts.check("a", 110.0)
    assert refused.value.http_status == 429 and refused.value.retry_after_s == WINDOW_S - 10
    attempts.check("b", 110.0)
    attempts.check("a", 100.0 + WINDOW_S)
    attempts.failed("a", 100.0 + WINDOW_S)
    attempts.check("a", 100.0 + WINDOW_S)


def test_a_login_forgets_the_failures() -> None:
    attempts = LoginAttempts()
    for _ in range(MOST_FAILED):
        attempts.failed("a", 1.0)
    attempts.succeeded("a")
    attempts.check("a", 1.0)


def test_what_is_remembered_has_a_bound() -> None:
    attempts = LoginAttempts()
    for _ in range(MOST_FAILED):
        attempts.failed("first", 1.0)
    for number in range(MOST_ADDRESSES):
        attempts.failed(str(number), 1.0)
    attempts.check("first", 1.0)

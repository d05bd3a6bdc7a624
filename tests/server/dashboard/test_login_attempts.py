from __future__ import annotations

import pytest

from kvproxy.errors import TooManyLogins
from kvproxy.server.dashboard.login_attempts import (
    MOST_ADDRESSES,
    MOST_FAILED,
    WINDOW_S,
    LoginAttempts,
    client_of_address,
)


def test_an_address_that_failed_often_waits_and_others_do_not() -> None:
    attempts = LoginAttempts()
    for _ in range(MOST_FAILED):
        attempts.check("a", 100.0)
        attempts.failed("a", 100.0)
    with pytest.raises(TooManyLogins) as refused:
        attempts.check("a", 110.0)
    assert refused.value.http_status == 429 and refused.value.retry_after_s == WINDOW_S - 10
    attempts.check("b", 110.0)
    attempts.check("a", 100.0 + WINDOW_S)
    attempts.failed("a", 100.0 + WINDOW_S)
    attempts.check("a", 100.0 + WINDOW_S)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9%eth0", "2001:db8:1:2::"),
        ("", ""),
        ("a", "a"),
    ],
)
def test_a_network_is_one_client(address: str, client: str) -> None:
    assert client_of_address(address) == client
    attempts = LoginAttempts()
    for _ in range(MOST_FAILED):
        attempts.failed(address, 1.0)
    with pytest.raises(TooManyLogins):
        attempts.check(client, 1.0)


def test_what_is_remembered_has_a_bound() -> None:
    attempts = LoginAttempts()
    for _ in range(MOST_FAILED):
        attempts.failed("first", 1.0)
    for number in range(MOST_ADDRESSES):
        attempts.failed(str(number), 1.0)
    attempts.check("first", 1.0)

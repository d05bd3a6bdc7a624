from __future__ import annotations

import pytest

from kvproxy.dashboard import shown_values as shown
from kvproxy.dashboard.shown_values import NOTHING


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NOTHING),
        (0, "0"),
        (999, "999"),
        (1_234, "1.23k"),
        (12_345, "12.3k"),
        (4_560_000, "4.56M"),
        (-1500, "-1.50k"),
    ],
)
def test_short_counts(value: float | None, text: str) -> None:
    assert shown.short_count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NOTHING),
        (0, "0 %"),
        (1, "100 %"),
        (0.814, "81.4 %"),
        (0.99999, "> 99.9 %"),
        (0.00001, "< 0.1 %"),
    ],
)
def test_a_share_is_never_whole_where_something_is_left(value: float | None, text: str) -> None:
    assert shown.share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *(
            (None, NOTHING),
            (0, "0 s"),
            (0.00084, "840 µs"),
            (0.0123, "12.3 ms"),
            (0.123, "123 ms"),
            (4.56, "4.56 s"),
        ),
        *((45.67, "45.7 s"), (200, "3 min 20 s"), (7_500, "2 h 5 min"), (93_600, "1 d 2 h")),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert shown.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, NOTHING), (512, "512 B"), (1536, "1.5 KiB"), (5 * 2**40, "5.0 TiB")]
)
def test_bytes(value: float | None, text: str) -> None:
    assert shown.byte_size(value) == text


def test_sums_that_are_estimates_have_three_digits_or_whole_hundredths() -> None:
    assert shown.short_money(6_916_680, "USD") == "0.00692 USD"
    assert shown.short_money(1_234_565_000_001, "USD") == "1234.57 USD"
    assert shown.short_money(999_600_000, "USD") == "1.00 USD"
    assert shown.short_money(-12, "USD") == "-0.000000012 USD"
    assert (shown.short_money(0, "USD"), shown.short_money(None, "USD")) == ("0.00 USD", NOTHING)


def test_money_keeps_every_digit_that_counts() -> None:
    assert shown.money(1_500_000_000, "USD") == "1.50 USD"
    assert shown.money(123_000, "USD") == "0.000123 USD"
    assert shown.money(-2_000_000_000, "USD") == "-2.00 USD"
    assert shown.money(None, "USD") == NOTHING


def test_times_are_utc() -> None:
    assert shown.clock_time(0) == "00:00:00" and shown.clock_time(None) == NOTHING
    assert shown.full_time(86_399) == "1970-01-01 23:59:59 UTC" and shown.full_time(None) == NOTHING
    assert shown.iso_time(0) == "1970-01-01T00:00:00Z" and shown.count(1234.4) == "1,234"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, NOTHING), (0.98, "1.0"), (7.33, "7.3"), (9.96, "10"), (128.4, "128"), (1204.5, "1,204")],
)
def test_a_ratio_has_a_digit_behind_the_point_while_that_tells_something(
    value: float | None, text: str
) -> None:
    assert shown.ratio(value) == text

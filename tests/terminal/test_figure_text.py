"""Figures as short text."""

from __future__ import annotations

import pytest

from kvproxy.terminal.figure_text import (
    bars,
    count_text,
    money_text,
    share_text,
    size_text,
    span_text,
    time_text,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (22.46, "22.5 s"), (59.99, "1 min 0 s"), (1_600, "26 min 40 s"), (11_520, "3 h 12 min")],
)
def test_a_length_of_time(seconds: float, text: str) -> None:
    assert span_text(seconds) == text
    assert span_text(86_400 * 1_234 + 7_200) == "1,234 d 2 h"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.0214, "21 ms"), (0.9996, "1.00 s"), (1.2, "1.20 s"), (9.996, "10 s"), (95.2, "95 s")],
)
def test_a_time_to_the_first_token(seconds: float | None, text: str) -> None:
    assert time_text(seconds) == text


def test_counts_shares_and_sizes() -> None:
    assert (count_text(3_201_233), share_text(0.834), share_text(None)) == ("3,201,233", "83 %", "-")
    assert [size_text(size) for size in (12, 1_536, 3 * 2**30, 2**51)] == [
        "12 bytes",
        "1.5 KiB",
        "3.0 GiB",
        "2048.0 TiB",
    ]


def test_amounts() -> None:
    small = {"nano": 377_000, "amount": "0.000377", "currency": "USD"}
    large = {"nano": 1_234_567_000_000, "amount": "1234.567", "currency": "EUR"}
    assert money_text([]) == "-" and money_text([small, large]) == "0.000377 USD, 1,234.57 EUR"


def test_bars() -> None:
    assert bars([0, 1, 2], 3) == " ▄█" and bars([9, 0, 1_000, 1], 3) == " █▁"
    assert bars([], 5) == "" and bars([0, 0], 5) == "  "

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core.money import MOST_NANO, NANO, Money, checked_currency, format_nano, parse_nano


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        *(("0", 0), ("1", NANO), ("0.05", 50_000_000), ("0.000377", 377_000), ("-2.5", -2_500_000_000)),
        *((" 12 ", 12 * NANO), ("0.000000001", 1), (5, 5 * NANO), ("4611686018.427387904", MOST_NANO)),
    ],
)
def test_a_decimal_is_read_exactly(text: str | int, nano: int) -> None:
    assert parse_nano(text) == nano


@pytest.mark.parametrize(
    "text",
    ["", "1e3", "1,5", ".5", "0.0000000001", "nan", "99999999999", "9999999999.9", "\u0661", 0.1, True, None],
)
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"amount|exact|range"):
        parse_nano(text)  # type: ignore[arg-type] # what a YAML file may hold


@given(st.integers(-MOST_NANO, MOST_NANO))
def test_what_is_written_reads_back(nano: int) -> None:
    assert parse_nano(format_nano(nano)) == nano


def test_an_amount_reads_well() -> None:
    assert str(Money(18_870_000, "USD")) == "0.01887 USD"
    assert str(Money(-NANO, "USDC")) == "-1 USDC"


@pytest.mark.parametrize("code", ["usd", "US", "DOLLARCENTS", "U$D", ""])
def test_a_currency_is_a_code_of_capitals(code: str) -> None:
    with pytest.raises(ValueError, match="currency"):
        checked_currency(code)
    assert checked_currency("USD") == "USD"

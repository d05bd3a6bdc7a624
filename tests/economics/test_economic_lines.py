"""Figures as text and as JSON."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.economics.economic_lines import EconomicLine, EconomicReport, SectionLines, half_up, short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(1509600), "1,509,600"),
        (Fraction("0.0486"), "0.0486"),
        (Fraction("2.5755"), "2.576"),
        (Fraction(497, 10), "49.7"),
        (Fraction("999.96"), "1,000"),
        (Fraction("-0.5"), "-0.5"),
        (Fraction(0), "0"),
        (Fraction(1, 10**15), "0"),
        (Fraction("1234.5"), "1,235"),
    ],
)
def test_four_digits_are_enough(value: Fraction, text: str) -> None:
    assert short(value) == text


@given(st.fractions(min_value=0, max_value=10**9))
def test_halves_go_up(value: Fraction) -> None:
    assert Fraction(-1, 2) < half_up(value) - value <= Fraction(1, 2)


def test_money_in_json_is_whole() -> None:
    line = EconomicLine("n", Fraction(3, 2), "money", "f", "s", "tariff", "2")
    told = line.as_json("EUR")
    assert told["value"] == {"nano": 2, "amount": "0.000000002", "currency": "EUR"}
    assert (told["stated"], told["basis"]) == ("2", "tariff")
    assert EconomicLine("n", None, "money", "f", "s", "tariff").as_json("EUR")["value"] is None


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("reads", "1.5 reads"),
        ("times", "1.5x"),
        ("percent", "1.5 %"),
        ("seconds", "1.5 s"),
        ("bytes", "1.5 B"),
    ],
)
def test_each_unit_is_named(unit: str, text: str) -> None:
    assert EconomicLine("n", Fraction(3, 2), unit, "f", "s", "input").text("USD") == text  # type: ignore[arg-type]  # parametrised


def test_a_report_finds_its_lines() -> None:
    lines = SectionLines("source", "input")
    assert lines.add("a", 3, "reads", "f") == 3 and lines.add("b", None, "reads", "f") == 0
    report = EconomicReport("t", "USD", (lines.section("s", "note"),))
    assert report.line("b").text("USD") == "never"
    with pytest.raises(KeyError, match="c"):
        report.line("c")
    told = report.as_json()["sections"][0]
    assert [line["name"] for line in told["lines"]] == ["a", "b"] and told["notes"] == ["note"]

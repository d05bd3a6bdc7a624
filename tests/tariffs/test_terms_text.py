"""Publishers' prices as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.core import NANO
from kvproxy.tariffs import FREE, DocumentTerms
from kvproxy.tariffs.terms_text import format_percent, parse_percent, parse_terms


@given(st.integers(0, 10**6))
def test_a_percentage_comes_back(ppm: int) -> None:
    assert parse_percent(format_percent(ppm)) == ppm


@pytest.mark.parametrize("told", ["101%", "40", "-1%", "1.23456%", "%", "4e1%", "100.0001%"])
def test_what_is_no_percentage_is_refused(told: str) -> None:
    with pytest.raises(ValueError, match=r"no percentage|more than 100%"):
        parse_percent(told)


@pytest.mark.parametrize(
    ("told", "terms"),
    [
        ("free", FREE),
        ("0", FREE),
        ("0%", FREE),
        (" 12.5% ", DocumentTerms(kind="share", share_ppm=125_000)),
        ("0.002", DocumentTerms(kind="fixed", nano_per_1000=2 * NANO // 1000)),
    ],
)
def test_a_price(told: str, terms: DocumentTerms) -> None:
    assert parse_terms(told) == terms


@pytest.mark.parametrize("told", ["cheap", "-0.1", "0.0000000001", "1,5"])
def test_a_wrong_price_is_refused_with_the_ways_to_write_one(told: str) -> None:
    with pytest.raises(ValueError, match=r"write free, a share|between 0 and"):
        parse_terms(told)

"""From the JSON of a measurement to the times of one size."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from kvproxy.economics.document_case import MarketPrices, measured_size, tariff_of_list_prices
from kvproxy.errors import SetupError
from tests.economics.cases import CASE, a_bench_paper


def test_a_measured_size_is_taken_as_it_is() -> None:
    size = measured_size(a_bench_paper(500, 1000), 1000)
    assert (size.tokens, size.kv_bytes, size.times.prefill_s) == (1000, 256_000, Fraction(1))
    assert size.times.source == "kvproxy bench paper, shape:tiny, a processor, at 1,000 tokens"


def test_a_size_between_two_is_on_the_line_between_them() -> None:
    size = measured_size(a_bench_paper(1000, 500), 750)
    assert (size.times.prefill_s, size.times.disk_s) == (Fraction(3, 4), Fraction(3, 40))
    assert "between 500 and 1,000 tokens" in size.times.source


def test_the_largest_is_taken_where_none_is_named() -> None:
    assert measured_size(a_bench_paper(500, 1000), None).tokens == 1000


@pytest.mark.parametrize("tokens", [499, 1001])
def test_a_size_beyond_what_was_measured_is_refused(tokens: int) -> None:
    with pytest.raises(SetupError, match="not measured, only 500 to 1,000: measure them"):
        measured_size(a_bench_paper(500, 1000), tokens)


@pytest.mark.parametrize("wrong", [{}, {"sizes": []}, [], {"sizes": [{"tokens": "x"}]}, {"sizes": [1]}])
def test_another_json_is_refused(wrong: Any) -> None:
    with pytest.raises(SetupError, match="no JSON of kvproxy bench paper"):
        measured_size(wrong, 5)


def test_a_document_has_tokens_and_readers() -> None:
    with pytest.raises(SetupError, match="at least one"):
        replace(CASE, tokens=0)
    with pytest.raises(SetupError, match="at least one"):
        replace(CASE, readers=0)


def test_list_prices_make_a_tariff() -> None:
    tariff = tariff_of_list_prices(MarketPrices())
    assert (tariff.cached_input, tariff.publishing) == (tariff.input // 10, tariff.input)
    assert abs(tariff.storage_mb_hour * 730 * 1000 - MarketPrices().storage_gb_month) <= 730 * 500

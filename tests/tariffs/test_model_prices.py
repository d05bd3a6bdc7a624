"""Prices of models: ranges, defaults, and ids that follow from the content."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kvproxy.core import NANO
from kvproxy.tariffs import MOST_PRICE, ModelPrices, Tariff

PRICES = ModelPrices(input=5 * NANO, output=15 * NANO)


def test_cached_tokens_cost_a_tenth_unless_told() -> None:
    assert PRICES.cached_input == NANO // 2
    assert ModelPrices(input=19, output=0).cached_input == 1
    assert ModelPrices(input=19, cached_input=0, output=0).cached_input == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"input": -2}, "input is -0.000000002"),
        ({"output": MOST_PRICE + 1}, "output is 1000000.000000001; a price is between 0 and 1000000"),
        ({"cached_input": 6 * NANO}, "cached_input is above input"),
        ({"publishing": 0.5}, "publishing must be a whole number"),
        ({"storage_mb_hour": True}, "storage_mb_hour must be a whole number"),
    ],
)
def test_a_price_out_of_range_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ModelPrices(**({"input": 5 * NANO, "output": 0} | wrong))


def test_a_tariffs_id_follows_from_its_content() -> None:
    one = Tariff.of("USD", 7, {"b": PRICES, "a": PRICES})
    same = Tariff.of("USD", 7, {"a": PRICES, "b": PRICES})
    assert one.id == same.id and one == same
    others = [
        Tariff.of("EUR", 7, one.models),
        Tariff.of("USD", 8, one.models),
        Tariff.of("USD", 7, {"a": PRICES}),
        Tariff.of("USD", 7, one.models, PRICES),
    ]
    assert len({one.id, *(other.id for other in others)}) == 5


def test_a_tariff_comes_back_from_its_json() -> None:
    one = Tariff.of("USD", 7, {"a": PRICES}, ModelPrices(input=MOST_PRICE, output=MOST_PRICE))
    assert Tariff.from_json(json.loads(json.dumps(one.as_json()))) == one


def test_models_that_are_not_listed_have_the_default() -> None:
    cheap = ModelPrices(input=1, output=1)
    assert Tariff.of("USD", 0, {"a": PRICES}, cheap).prices("b") == cheap
    assert Tariff.of("USD", 0, {"a": PRICES}, cheap).prices("a") == PRICES
    assert Tariff.of("USD", 0, {"a": PRICES}).prices("b") is None


def test_a_currency_is_checked() -> None:
    with pytest.raises(ValueError, match="'dollars' is no currency"):
        Tariff.of("dollars", 0, {})

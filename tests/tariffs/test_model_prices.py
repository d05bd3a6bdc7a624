"""Prices of models: ranges and defaults."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import NANO
from kvproxy.tariffs import MOST_PRICE, ModelPrices

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

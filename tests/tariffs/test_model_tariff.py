"""Tariffs: ids that follow from the content, and prices by model."""

from __future__ import annotations

import json

import pytest

from kvproxy.core import NANO
from kvproxy.tariffs import MOST_PRICE, DocumentTerms, ModelPrices, Tariff

PRICES = ModelPrices(input=5 * NANO, output=15 * NANO)


def test_a_tariffs_id_follows_from_its_content() -> None:
    one = Tariff.of("USD", 7, {"b": PRICES, "a": PRICES})
    same = Tariff.of("USD", 7, {"a": PRICES, "b": PRICES})
    assert one.id == same.id and one == same
    others = [
        Tariff.of("EUR", 7, one.models),
        Tariff.of("USD", 8, one.models),
        Tariff.of("USD", 7, {"a": PRICES}),
        Tariff.of("USD", 7, one.models, PRICES),
        Tariff.of("USD", 7, one.models, documents=DocumentTerms(kind="share", share_ppm=1)),
    ]
    assert len({one.id, *(other.id for other in others)}) == 6


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

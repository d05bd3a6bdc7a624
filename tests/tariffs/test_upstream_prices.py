"""litellm's cost map: its decimal numbers to nano-units without a binary fraction, and litellm itself not imported."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from kvproxy.core import NANO
from kvproxy.tariffs import MOST_PRICE, ModelPrices
from kvproxy.tariffs.upstream_prices import read_cost_map, upstream_prices


def a_map(folder: Path, **models: str) -> Path:
    """Entries are JSON text, so that the numbers stay as written."""
    file = folder / "map.json"
    file.write_text("{" + ",".join(f"{json.dumps(name)}: {told}" for name, told in models.items()) + "}")
    return file


def test_a_number_is_converted_as_it_is_written(tmp_path: Path) -> None:
    told = (
        '{"litellm_provider": "openai", "input_cost_per_token": 1.5e-07, "output_cost_per_token": 0.0000006, '
    )
    cost_map = read_cost_map(a_map(tmp_path, small=told + '"cache_read_input_token_cost": 7.5e-8}'))
    assert upstream_prices("openai/small", 0, cost_map) == ModelPrices(
        input=150_000_000, cached_input=75_000_000, output=600_000_000
    )
    assert upstream_prices("openai/small", 333_333, cost_map) == ModelPrices(
        input=199_999_950, cached_input=99_999_975, output=799_999_800
    )


def test_a_cached_token_is_no_cheaper_where_the_map_has_no_price_of_it(tmp_path: Path) -> None:
    told = '{"input_cost_per_token": 1e-6, "output_cost_per_token": 0}'
    prices = upstream_prices("own/model", 0, read_cost_map(a_map(tmp_path, **{"own/model": told})))
    assert prices == ModelPrices(input=NANO, cached_input=NANO, output=0)


@pytest.mark.parametrize("model", ["azure/small", "openai/other", "unpriced"])
def test_a_model_without_prices_is_none(tmp_path: Path, model: str) -> None:
    told = '{"litellm_provider": "openai", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}'
    cost_map = read_cost_map(a_map(tmp_path, small=told, unpriced='{"mode": "image_generation"}'))
    assert upstream_prices(model, 0, cost_map) is None


def test_an_unreadable_map_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_cost_map(tmp_path / "none.json")


def test_every_model_of_the_installed_map_is_priced_exactly() -> None:
    cost_map = read_cost_map()
    assert len(cost_map) > 1000
    priced = 0
    for model, told in cost_map.items():
        prices = upstream_prices(model, 0, cost_map)
        if prices is None:
            continue
        priced += 1
        for nano, number in (
            (prices.input, told["input_cost_per_token"]),
            (prices.output, told["output_cost_per_token"]),
        ):
            assert isinstance(number, Decimal)
            assert abs(nano - Fraction(number) * 10**15) <= Fraction(1, 2) and nano <= MOST_PRICE
    assert priced > 500


def test_litellm_is_not_imported() -> None:
    code = (
        "import sys; from kvproxy.tariffs.upstream_prices import read_cost_map; "
        "read_cost_map(); print('litellm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

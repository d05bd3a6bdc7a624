"""Prices of upstream models out of litellm's cost map: the JSON in its package, read as data. litellm is not imported.

Only prices of plain text tokens are taken: no tiers for long prompts, no batches, no prices for images or sound. The
map is in US dollars for one token, as decimal numbers, which are converted without binary fractions.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any

from kvproxy.core import NANO
from kvproxy.tariffs.document_terms import MILLION
from kvproxy.tariffs.model_prices import ModelPrices

COST_MAP = "model_prices_and_context_window_backup.json"

CURRENCY = "USD"
"""The currency of the map."""


@cache
def read_cost_map(path: Path | None = None) -> Mapping[str, Mapping[str, Any]]:
    """Return litellm's cost map by model, numbers as Decimal. Raises ValueError where it is not to be had."""
    file = path or _file_of_litellm()
    try:
        found = json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal, parse_int=Decimal)
    except (OSError, ValueError) as e:
        raise ValueError(f"litellm's cost map {file.name} cannot be read: {e}") from e
    return {model: told for model, told in found.items() if isinstance(told, dict)}


def _file_of_litellm() -> Path:
    spec = importlib.util.find_spec("litellm")
    if spec is None or spec.origin is None:
        raise ValueError("litellm is not installed, so that its cost map is missing; list the prices by hand")
    return Path(spec.origin).parent / COST_MAP


def upstream_prices(
    model: str, margin_ppm: int, cost_map: Mapping[str, Mapping[str, Any]]
) -> ModelPrices | None:
    """Return the prices of ``model``, written as in litellm's ``params``, with a margin; None for one without prices.

    Half a nano-unit for a million tokens is rounded up, in one step, margin included. A cached token costs as much as
    any other where the map has no price of it.

    Example:
        ``upstream_prices("openai/gpt-4o-mini", 200_000, read_cost_map())``
    """
    told = _entry(model, cost_map)
    if told is None:
        return None
    computed, output = told.get("input_cost_per_token"), told.get("output_cost_per_token")
    if not isinstance(computed, Decimal) or not isinstance(output, Decimal):
        return None
    cached = told.get("cache_read_input_token_cost")
    prices = [_nano(price, margin_ppm) for price in (computed, output)]
    own = _nano(cached, margin_ppm) if isinstance(cached, Decimal) else prices[0]
    return ModelPrices(input=prices[0], cached_input=min(own, prices[0]), output=prices[1])


def _entry(model: str, cost_map: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Find the whole name, else the name without its provider where the map has it of that provider."""
    if model in cost_map:
        return cost_map[model]
    provider, _, rest = model.partition("/")
    told = cost_map.get(rest)
    return told if told is not None and told.get("litellm_provider") == provider else None


def _nano(per_token: Decimal, margin_ppm: int) -> int:
    # Decimal's 28 digits hold the 17 of a price that once was a float, times any margin, exactly.
    exact = per_token * (NANO * MILLION) * (MILLION + margin_ppm) / MILLION
    return int(exact.to_integral_value(ROUND_HALF_UP))

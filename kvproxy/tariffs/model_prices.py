"""`ModelPrices`: the prices of one model, in whole nano-units."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import rfc8785

from kvproxy.core import NANO, format_nano

MOST_PRICE = 10**6 * NANO
"""The highest price, in nano-units: a million units for a million tokens or for a MB-hour. Canonical JSON has it
exactly, and so many tokens as a request can have stay below ``MOST_NANO``."""

TENTH_OF_INPUT = -1
"""The default of ``cached_input``: a tenth of ``input``, rounded down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrices:
    """Nano-units for a million tokens of one model, and for a MB (10^6 bytes) of KV kept for an hour.

    Raises ValueError for a price below 0 or above MOST_PRICE, and where a cached token would cost more than a
    computed one.
    """

    input: int
    cached_input: int = TENTH_OF_INPUT
    output: int
    publishing: int = 0
    """For each token that is prefilled once for a publisher."""
    storage_mb_hour: int = 0

    def __post_init__(self) -> None:
        if self.cached_input == TENTH_OF_INPUT:
            object.__setattr__(self, "cached_input", self.input // 10)
        for field in fields(self):
            checked_price(field.name, getattr(self, field.name))
        if self.cached_input > self.input:
            raise ValueError(
                "cached_input is above input: a read from kept pages would cost more than a cold one"
            )


def checked_price(name: str, nano: int) -> int:
    """Return a price unchanged. Raises ValueError outside of 0 to MOST_PRICE, and for what is no whole number."""
    if isinstance(nano, bool) or not isinstance(nano, int):
        raise ValueError(f"{name} must be a whole number of nano-units")
    if not 0 <= nano <= MOST_PRICE:
        raise ValueError(f"{name} is {format_nano(nano)}; a price is between 0 and {format_nano(MOST_PRICE)}")
    return nano


def prices_json(prices: ModelPrices) -> dict[str, int]:
    """Return the prices by name."""
    return {field.name: getattr(prices, field.name) for field in fields(prices)}


def digest(told: Mapping[str, Any]) -> str:
    """Return the sha256 of the canonical JSON (RFC 8785), hex."""
    return hashlib.sha256(rfc8785.dumps(dict(told))).hexdigest()

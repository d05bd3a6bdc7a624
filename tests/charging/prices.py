"""Prices for tests: a computed token costs 1000 nano-units, a cached one 100, one of an answer 3000."""

from __future__ import annotations

from kvproxy.core import Charge, MeteredTokens
from kvproxy.tariffs import FREE, DocumentTerms, ModelPrices, Tariff, charge

MILLION = 10**6
PRICES = ModelPrices(
    input=1000 * MILLION,
    cached_input=100 * MILLION,
    output=3000 * MILLION,
    publishing=500 * MILLION,
    storage_mb_hour=7000,
)
TARIFF = Tariff.of("USD", 0, {"fake": PRICES}, default=PRICES)
PLENTY = 10**12


def price(prompt: int, cached: int, generated: int) -> int:
    """The price of tokens that belong to no document."""
    return 1000 * (prompt - cached) + 100 * cached + 3000 * generated


def charged(metered: MeteredTokens, terms: DocumentTerms = FREE) -> Charge:
    return charge(metered, TARIFF, {terms.id: terms})

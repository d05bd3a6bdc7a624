"""Prices per model and terms per document, and the pure arithmetic from metered tokens to a charge; their history.

Read ``model_prices`` and ``document_terms`` first, then ``priced_tokens``: the whole of the arithmetic, in integers,
without I/O. ``tariff_file`` reads the operator's YAML, ``recorded_tariffs`` and ``terms_book`` keep all that was ever
valid, so that the price of an old read can be computed again.
"""

from kvproxy.tariffs.document_terms import FREE, DocumentTerms
from kvproxy.tariffs.model_prices import MOST_PRICE, ModelPrices
from kvproxy.tariffs.model_tariff import Tariff
from kvproxy.tariffs.priced_tokens import (
    charge,
    cold_charge,
    most_it_may_cost,
    publishing_charge,
    storage_charge,
)

__all__ = [
    "FREE",
    "MOST_PRICE",
    "DocumentTerms",
    "ModelPrices",
    "Tariff",
    "charge",
    "cold_charge",
    "most_it_may_cost",
    "publishing_charge",
    "storage_charge",
]

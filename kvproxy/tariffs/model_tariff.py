"""`Tariff`: the prices of all models from one moment on, and the terms of documents without terms of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kvproxy.core import checked_currency
from kvproxy.tariffs.document_terms import FREE, DocumentTerms
from kvproxy.tariffs.model_prices import ModelPrices, digest, prices_json


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices of models from ``valid_from_ms`` on, until the next tariff begins."""

    id: str
    """``Tariff.of`` makes it from the content: two tariffs that say the same have the same one."""
    currency: str
    valid_from_ms: int
    models: Mapping[str, ModelPrices]
    default: ModelPrices | None = None
    """Prices of all models that ``models`` does not list; None: they are not sold."""
    documents: DocumentTerms = FREE
    """Terms of the documents whose publishers have set none."""

    @classmethod
    def of(
        cls,
        currency: str,
        valid_from_ms: int,
        models: Mapping[str, ModelPrices],
        default: ModelPrices | None = None,
        documents: DocumentTerms = FREE,
    ) -> Tariff:
        """Make a tariff, with its id. Raises ValueError for a wrong currency.

        Example:
            ``Tariff.of("USD", 0, {"qwen3-4b": ModelPrices(input=5 * NANO, output=15 * NANO)})``
        """
        tariff = cls("", checked_currency(currency), valid_from_ms, dict(models), default, documents)
        return replace(tariff, id=digest(tariff.as_json()))

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Tariff:
        """Return the tariff that ``as_json`` has written. Raises ValueError for wrong prices."""
        default = told["default"]
        return cls.of(
            told["currency"],
            told["valid_from_ms"],
            {model: ModelPrices(**prices) for model, prices in told["models"].items()},
            None if default is None else ModelPrices(**default),
            DocumentTerms.from_json(told["documents"]),
        )

    def as_json(self) -> dict[str, Any]:
        """Return all but the id: whole numbers, texts and mappings."""
        return {
            "currency": self.currency,
            "valid_from_ms": self.valid_from_ms,
            "models": {model: prices_json(prices) for model, prices in sorted(self.models.items())},
            "default": None if self.default is None else prices_json(self.default),
            "documents": self.documents.as_json(),
        }

    def prices(self, model: str) -> ModelPrices | None:
        """Return the prices of ``model``; None for one that is not sold."""
        return self.models.get(model, self.default)

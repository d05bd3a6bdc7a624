"""`answer_cost`: the price of an answer, which a kvproxy with a tariff adds to its usage."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NotRequired

from typing_extensions import TypedDict


class PricedAnswer(TypedDict):
    """The price in an answer's `response_metadata["kvproxy_cost"]`. Amounts are decimal texts: no fraction is lost."""

    currency: str
    cost: str
    cold_cost: str
    """The price of the same tokens without kept pages."""
    saved: str
    """Negative where a document's fixed price is above what its prefill costs."""
    tariff: str
    """The beginning of the tariff's id."""
    receipt: str | None
    """The signed receipt, where the header `x-kvproxy-receipt: true` asks for it."""
    receipts: NotRequired[list[str]]
    """The receipts of all documents, where several were read."""


class CostSums(TypedDict):
    """Sums of one currency over the requests of a run, as decimal texts."""

    cost: str
    cold_cost: str
    saved: str


def answer_cost(usage: Any) -> PricedAnswer | None:
    """Return the price in a usage, or None where there is none, or another provider's field of that name."""
    cost = usage.get("cost") if isinstance(usage, Mapping) else None
    if not isinstance(cost, Mapping) or not all(isinstance(cost.get(n), str) for n in ("currency", "cost")):
        return None
    try:
        if not all(Decimal(cost[name]).is_finite() for name in ("cost", "cold_cost", "saved")):
            return None
    except (InvalidOperation, KeyError, TypeError, ValueError):
        return None
    priced = PricedAnswer(
        currency=cost["currency"],
        cost=cost["cost"],
        cold_cost=cost["cold_cost"],
        saved=cost["saved"],
        tariff=str(cost.get("tariff", "")),
        receipt=cost.get("receipt"),
    )
    if cost.get("receipts"):
        priced["receipts"] = list(cost["receipts"])
    return priced


class MoneySpent:
    """Adds up prices by currency, exactly."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Decimal, Decimal]] = {}

    def add(self, cost: Mapping[str, Any]) -> None:
        """Add the price of one answer."""
        spent, cold = self._sums.get(cost["currency"], (Decimal(0), Decimal(0)))
        self._sums[cost["currency"]] = (spent + Decimal(cost["cost"]), cold + Decimal(cost["cold_cost"]))

    def totals(self) -> dict[str, CostSums]:
        """Return the sums by currency."""
        return {
            currency: CostSums(cost=_text(spent), cold_cost=_text(cold), saved=_text(cold - spent))
            for currency, (spent, cold) in sorted(self._sums.items())
        }


def _text(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

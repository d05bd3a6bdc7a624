"""The price of an answer: ``cost`` in the usage of every dialect, and headers. Amounts are decimal texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.core import Charge, format_nano
from kvproxy.events import Usage

TARIFF_PREFIX = 12
"""Characters of a tariff's id that an answer shows."""

COST_HEADERS = ("x-kvproxy-cost", "x-kvproxy-cold-cost", "x-kvproxy-hold", "x-kvproxy-cold-prompt-cost")
"""Headers with amounts: the first two of a whole answer, the last two of a stream."""


class AnswerCost(TypedDict):
    """The price of an answer, as an extension of its usage; left out where no tariff prices the model."""

    currency: str
    cost: str
    """A decimal number of units of the currency, as all amounts here."""
    cold_cost: str
    """The price of the same tokens without kept pages."""
    saved: str
    """Negative where a document's fixed price is above what its prefill costs."""
    tariff: str
    """The beginning of the tariff's id."""
    receipt: str | None
    """The signed receipt (a compact JWS) of the first document that was read, where ``x-kvproxy-receipt: true`` asks
    for it."""
    receipts: NotRequired[list[str]]
    """The receipts of all documents, where several were read."""


class Priced(TypedDict, total=False):
    """The extension of a usage."""

    cost: AnswerCost


def priced(usage: Usage) -> Priced:
    """Return the extension of an answer's usage: empty where nothing prices it."""
    if usage.charge is None:
        return {}
    return {"cost": answer_cost(usage.charge, usage.receipts)}


def answer_cost(charge: Charge, receipts: Sequence[str]) -> AnswerCost:
    """Return a charge as an answer carries it."""
    cost: AnswerCost = {
        "currency": charge.currency,
        "cost": format_nano(charge.cost),
        "cold_cost": format_nano(charge.cold_cost),
        "saved": format_nano(charge.saved),
        "tariff": charge.tariff[:TARIFF_PREFIX],
        "receipt": receipts[0] if receipts else None,
    }
    if len(receipts) > 1:
        cost["receipts"] = list(receipts)
    return cost


def cost_headers(charge: Charge | None) -> dict[str, str]:
    """Return the headers of a whole answer: none where nothing prices it."""
    if charge is None:
        return {}
    return {"x-kvproxy-cost": format_nano(charge.cost), "x-kvproxy-cold-cost": format_nano(charge.cold_cost)}


def hold_headers(hold: int, cold_prompt: int) -> dict[str, str]:
    """Return the headers of a stream: nano-units held, and those of its prompt as a miss."""
    return {"x-kvproxy-hold": format_nano(hold), "x-kvproxy-cold-prompt-cost": format_nano(cold_prompt)}

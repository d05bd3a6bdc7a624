from __future__ import annotations

from kvproxy.core import Charge
from kvproxy.events import Usage
from kvproxy.wire.answers.cost_bodies import COST_HEADERS, cost_headers, hold_headers, priced

CHARGE = Charge("USD", 377_000, 1_900_000, 377_000, (), "0123456789abcdef")


def test_amounts_are_decimal_texts() -> None:
    usage = Usage(100, 5, 0, charge=CHARGE, receipts=("a.b.c", "d.e.f"))
    assert priced(usage) == {
        "cost": {
            "currency": "USD",
            "cost": "0.000377",
            "cold_cost": "0.0019",
            "saved": "0.001523",
            "tariff": "0123456789ab",
            "receipt": "a.b.c",
            "receipts": ["a.b.c", "d.e.f"],
        }
    }


def test_one_receipt_or_none_is_no_list() -> None:
    for receipts in ((), ("a.b.c",)):
        cost = priced(Usage(100, 5, 0, charge=CHARGE, receipts=receipts))["cost"]
        assert cost["receipt"] == (receipts[0] if receipts else None) and "receipts" not in cost


def test_a_price_above_the_cold_one_saves_a_negative_amount() -> None:
    dear = Charge("USD", 5_000_000_000, 1_000_000_000, 0, (), "t")
    assert priced(Usage(1, 1, 1, charge=dear))["cost"]["saved"] == "-4"


def test_nothing_is_said_without_a_price() -> None:
    assert priced(Usage(100, 5, 0)) == {} and cost_headers(None) == {}


def test_headers_are_those_that_are_documented() -> None:
    assert {**cost_headers(CHARGE), **hold_headers(5, 7)} == dict(
        zip(COST_HEADERS, ("0.000377", "0.0019", "0.000000005", "0.000000007"), strict=True)
    )

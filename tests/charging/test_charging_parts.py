from __future__ import annotations

import inspect
from typing import Any

import pytest

from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grants import Grants
from kvproxy.catalog.signed_quotes import Quotes
from kvproxy.charging import charging_parts as parts
from kvproxy.ledger.ledger import Ledger
from kvproxy.payments.payment_registry import Payments
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.terms_book import TermsBook

REAL: list[tuple[Any, type[Any]]] = [
    (parts.PriceHistory, Tariffs),
    (parts.TermsLookup, TermsBook),
    (parts.GrantLookup, Grants),
    (parts.BudgetLookup, Accounts),
    (parts.HoldingLedger, Ledger),
    (parts.QuoteHonouring, Quotes),
    (parts.RequestPayments, Payments),
]


@pytest.mark.parametrize(("protocol", "real"), REAL, ids=lambda one: one.__name__)
def test_the_real_parts_take_the_calls_that_charging_makes(protocol: Any, real: type[Any]) -> None:
    asked = {name: method for name, method in vars(protocol).items() if inspect.isfunction(method)}
    asked = {name: method for name, method in asked.items() if not name.startswith("_")}
    assert asked
    for name, method in asked.items():
        found = getattr(real, name)
        assert inspect.iscoroutinefunction(found) == inspect.iscoroutinefunction(method), name
        wanted = list(inspect.signature(method).parameters)
        taken = inspect.signature(found).parameters
        assert list(taken)[: len(wanted)] == wanted, name
        rest = list(taken.values())[len(wanted) :]
        assert all(one.default is not inspect.Parameter.empty for one in rest), name

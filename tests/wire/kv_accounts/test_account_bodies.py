from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from kvproxy.accounts.account_values import Budget, CreditLimit, now_ms
from kvproxy.core import DEFAULT_PERMISSIONS
from kvproxy.wire.kv_accounts.account_bodies import (
    BudgetBody,
    KeyChangeBody,
    NewGrantBody,
    NewKeyBody,
    NewTenantBody,
    TenantChangeBody,
)


def test_a_key_has_all_permissions_but_admin_by_default() -> None:
    order = NewKeyBody.model_validate({"tenant": "alice"}).order()
    assert (order.permissions, order.expires_ms, order.label) == (DEFAULT_PERMISSIONS, None, None)
    before = now_ms()
    order = NewKeyBody.model_validate({"tenant": "a", "scopes": ["read"], "expires_in_s": 60}).order()
    assert order.permissions == {"read"}
    assert order.expires_ms is not None and before + 60_000 <= order.expires_ms <= now_ms() + 60_000


def test_amounts_are_decimal_text() -> None:
    body = BudgetBody.model_validate({"period": "day", "amount": "0.000000001", "tokens": 5})
    assert body.budget("tenant:a") == Budget("tenant:a", "day", 5, 1, None)
    assert NewTenantBody.model_validate({"id": "a"}).credit_limit() is None
    assert NewTenantBody.model_validate({"id": "a", "credit": "unlimited"}).credit_limit() == CreditLimit(
        None
    )
    assert TenantChangeBody.model_validate({"credit": "2"}).credit_limit() == CreditLimit(2 * 10**9)


def test_a_grant_of_one_version() -> None:
    body = {"document": "a/handbook@3", "reader": "everybody", "max_amount": "1", "max_tokens": 7}
    grant = NewGrantBody.model_validate(body).grant("acme")
    assert (grant.publisher, grant.document, grant.version) == ("acme", "a/handbook", 3)
    assert (grant.reader_kind, grant.reader, grant.max_nano, grant.max_tokens) == (
        "everybody",
        None,
        10**9,
        7,
    )


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (NewKeyBody, {"tenant": "a", "scopes": []}),
        (NewKeyBody, {"tenant": "a", "scopes": "read"}),
        (NewKeyBody, {"tenant": ""}),
        (NewKeyBody, {"tenant": "a", "expires_in_s": 1.5}),
        (KeyChangeBody, {}),
        (KeyChangeBody, {"budgets": [{"period": "year"}]}),
        (BudgetBody, {"period": "day", "tokens": 2**63}),
        (BudgetBody, {"period": "day", "amount": 5}),
        (BudgetBody, {"period": "day", "amount": "-5"}),
        (BudgetBody, {"period": "day", "amount": "0.0000000001"}),
        (TenantChangeBody, {"credit": "none"}),
        (TenantChangeBody, {"credits": "1"}),
        (NewGrantBody, {"document": "a", "reader": "tenant"}),
        (NewGrantBody, {"document": "a", "reader": "everybody", "id": "b"}),
    ],
)
def test_anything_else_is_refused(kind: type[BaseModel], body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate(body)

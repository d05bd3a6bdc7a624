from __future__ import annotations

from kvproxy.accounts.account_values import Budget, NewKey, StoredKey, Tenant
from kvproxy.accounts.grant_values import Grant
from kvproxy.wire.kv_accounts.account_views import kv_grant, kv_key, kv_new_key, kv_tenant

KEY = StoredKey("key_1", "alice", "…abcd", frozenset({"read", "admin"}), None, 5_999, 7_000, None, "laptop")


def test_a_key_is_shown_without_the_key() -> None:
    view = kv_key(KEY, [Budget("key:key_1", "day", nano=377_000)], "USD")
    assert view == {
        "object": "kv_key",
        "id": "key_1",
        "tenant": "alice",
        "hint": "…abcd",
        "scopes": ["admin", "read"],
        "isolate_by": None,
        "label": "laptop",
        "created": 5,
        "expires": 7,
        "revoked": None,
        "budgets": [
            {
                "period": "day",
                "tokens": None,
                "money": {"nano": 377_000, "amount": "0.000377", "currency": "USD"},
                "requests": None,
            }
        ],
    }
    new = kv_new_key(NewKey("kvp_x", KEY), (), "USD")
    assert (new["object"], new["key"], new["budgets"]) == ("kv_new_key", "kvp_x", [])


def test_tenants_and_grants() -> None:
    tenant = kv_tenant(Tenant("alice", "tenant:a", 1_000, 5 * 10**9), (), "EUR")
    assert tenant["credit"] == {"nano": 5 * 10**9, "amount": "5", "currency": "EUR"}
    assert "scope" not in tenant
    assert kv_tenant(Tenant("alice", "tenant:a", 1_000, None), (), "EUR")["credit"] is None
    grant = kv_grant(Grant("g", "acme", "handbook", 3, "tenant", "bob", 1_000, max_nano=1), "EUR")
    assert (grant["reader"], grant["version"], grant["created"]) == ("bob", 3, 1)
    assert grant["max_money"] == {"nano": 1, "amount": "0.000000001", "currency": "EUR"}

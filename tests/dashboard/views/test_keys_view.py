from __future__ import annotations

from dataclasses import replace

from kvproxy.accounts.account_values import StoredKey, Tenant
from kvproxy.accounts.grant_values import Grant, GrantUse
from kvproxy.core import Caller, Permission
from kvproxy.dashboard.views.keys_view import grant_rows, key_rows, tenant_rows

NOW = 1_800_000_000.0
MS = int(NOW * 1000)


def stored(
    id: str, tenant: str = "alice", *, expires_ms: int | None = None, revoked_ms: int | None = None
) -> StoredKey:
    shown, scopes = f"…{id}", frozenset[Permission]({"read"})
    return StoredKey(id, tenant, shown, scopes, None, MS - 1000, expires_ms=expires_ms, revoked_ms=revoked_ms)


def test_keys_in_all_their_states_the_newest_first() -> None:
    keys = [
        (stored("old", expires_ms=MS - 1), None),
        (stored("gone", revoked_ms=MS - 5), None),
        (stored("shut", "bob"), None),
        (stored("new", expires_ms=MS + 1), MS - 500),
    ]
    boss = Caller("boss", "tenant:b", permissions=frozenset({"admin", "read"}))
    rows = key_rows(keys, [boss], frozenset({"bob"}), NOW)
    assert [(row.id, row.state) for row in rows] == [
        ("", "good"),
        ("new", "good"),
        ("shut", "closed"),
        ("gone", "revoked"),
        ("old", "expired"),
    ]
    assert rows[0].scopes == ("admin", "read") and rows[0].created is None
    assert rows[1].last_used == NOW - 0.5 and rows[2].last_used is None


def test_tenants_with_the_number_of_their_good_keys() -> None:
    rows = key_rows([(stored("a"), None), (stored("b", revoked_ms=1), None)], (), frozenset(), NOW)
    tenants = [Tenant("alice", "s1", MS, 0), Tenant("bob", "s2", MS, 0, closed_ms=MS)]
    alice, bob = tenant_rows(tenants, rows)
    assert (alice.keys, alice.closed) == (1, None) and (bob.keys, bob.closed) == (0, NOW)


def test_grants_in_all_their_states() -> None:
    def grant(id: str) -> Grant:
        return Grant(id, "acme", "handbook", None, "tenant", "alice", MS)

    grants = [
        (grant("a"), GrantUse()),
        (replace(grant("b"), max_reads=2), GrantUse(2, 100, 7)),
        (replace(grant("c"), expires_ms=MS), GrantUse()),
        (replace(grant("d"), revoked_ms=MS), GrantUse()),
        (Grant("e", "acme", "notes", 3, "everybody", None, MS, terms="t1"), GrantUse()),
    ]
    rows = grant_rows(grants, NOW)
    assert [row.state for row in rows] == ["good", "revoked", "expired", "used up", "good"]
    assert (rows[0].document, rows[0].reader, rows[0].own_price) == ("notes@3", "everybody", True)
    assert (rows[-1].document, rows[-1].reader, rows[-1].own_price) == ("handbook", "tenant alice", False)

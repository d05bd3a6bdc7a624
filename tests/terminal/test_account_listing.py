from __future__ import annotations

from typing import Any

import pytest

from kvproxy.accounts.account_values import Budget, StoredKey, Tenant
from kvproxy.accounts.grant_values import Grant
from kvproxy.terminal.account_listing import print_grants, print_keys, print_tenants
from kvproxy.wire.kv_accounts.account_views import kv_grant, kv_key, kv_tenant


def test_keys_with_their_states(capsys: pytest.CaptureFixture[str]) -> None:
    ends: tuple[dict[str, Any], ...] = (
        {"expires_ms": 5_000_000},
        {"expires_ms": 50_000_000},
        {"revoked_ms": 1_000},
        {},
    )
    keys = [
        StoredKey(f"k{n}", "alice", "…abcd", frozenset({"read"}), None, 0, **e) for n, e in enumerate(ends)
    ]
    budgets = [Budget("key:k0", "day", 1_000_000, 2_500_000_000, 60)]
    print_keys([kv_key(key, budgets if key.id == "k0" else (), "USD") for key in keys], now=10_000)
    lines = capsys.readouterr().out.splitlines()
    states = [next(line for line in lines if f"k{n}" in line) for n in range(4)]
    assert "expired 1970-01-01 01:23" in states[0]
    assert "1,000,000 tokens, 2.5 USD, 60 requests a day" in states[0]
    assert "good until 1970" in states[1] and "revoked 1970" in states[2] and "│ good " in states[3]


def test_markup_in_a_name_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_tenants([kv_tenant(Tenant("[red]x[/]", "s", 0, None, 5), (), "USD")])
    shown = capsys.readouterr().out
    assert "[red]x[/]" in shown and "closed 1970" in shown and "unlimited" in shown


def test_grants_with_their_caps(capsys: pytest.CaptureFixture[str]) -> None:
    grants = [
        Grant("g1", "acme", "handbook", 3, "tenant", "bob", 0, "a" * 64, 5, 7, 10**9, 9_000),
        Grant("g2", "acme", "handbook", None, "everybody", None, 0, revoked_ms=1_000),
    ]
    print_grants([kv_grant(grant, "USD") for grant in grants])
    first, second = (line for line in capsys.readouterr().out.splitlines() if "g1" in line or "g2" in line)
    assert "handbook@3" in first and "tenant bob" in first and "7 tokens, 1 USD, 5 reads" in first
    assert "terms aaaaaaaaaaaa " in first and "1970-01-01 00:00" in first
    assert "everybody" in second and "the document's" in second and "none" in second and "revoked" in second

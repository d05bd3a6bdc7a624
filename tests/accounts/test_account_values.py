from __future__ import annotations

import pytest

from kvproxy.accounts.account_values import Budget, StoredKey, checked_limit, checked_tenant, utc
from kvproxy.core.money import MOST_NANO
from kvproxy.errors import InvalidRequest


def test_why_a_key_is_refused() -> None:
    key = StoredKey("key_1", "alice", "…abcd", frozenset({"read"}), None, 0)
    assert key.refusal(10**15) is None
    both = StoredKey("key_1", "alice", "…abcd", frozenset({"read"}), None, 0, expires_ms=5, revoked_ms=3)
    assert "revoked" in (both.refusal(0) or "")


def test_an_empty_budget_limits_nothing() -> None:
    assert Budget("tenant:a", "day").empty
    assert not Budget("tenant:a", "day", tokens=0).empty


def test_names_and_limits() -> None:
    assert checked_tenant("Team-1.b_c") == "Team-1.b_c"
    assert [checked_limit(n, param="tokens") for n in (None, 0, MOST_NANO)] == [None, 0, MOST_NANO]
    with pytest.raises(InvalidRequest) as caught:
        checked_limit(-1, param="tokens")
    assert caught.value.param == "tokens"


def test_times_for_people() -> None:
    assert utc(1_795_988_926_267) == "2026-11-29 21:48 UTC"

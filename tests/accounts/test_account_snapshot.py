from __future__ import annotations

import pytest

from kvproxy.accounts.account_snapshot import AccountSnapshot, Recognised, known_key, the_caller
from kvproxy.accounts.account_values import StoredKey, Tenant
from kvproxy.core import Caller
from kvproxy.errors import AuthenticationFailed

ALICE = Tenant("alice", "tenant:a", 0, None)
KEY = StoredKey("key_1", "alice", "…abcd", frozenset({"read"}), None, 0, expires_ms=1_000)
SNAPSHOT = AccountSnapshot(
    tenants={"alice": ALICE}, digests={b"d": known_key(KEY, ALICE)}, keys={"key_1": KEY}
)


def test_an_expired_key_is_refused_from_its_last_moment() -> None:
    assert SNAPSHOT.recognise(b"d", 999).caller == Caller(
        "alice", "tenant:a", key="key_1", permissions=frozenset({"read"})
    )
    refused = SNAPSHOT.recognise(b"d", 1_000)
    assert refused.caller is None
    assert refused.refusal is not None and refused.refusal.startswith(
        "This API key expired on 1970-01-01 00:00 UTC."
    )
    assert SNAPSHOT.recognise(b"e", 0) == Recognised()


def test_the_one_caller_of_several_keys() -> None:
    alice, bob = Caller("alice", "a", key="1"), Caller("bob", "b", key="2")
    unknown, refused = Recognised(), Recognised(refusal="It was revoked.")
    assert the_caller([unknown]) is None
    assert the_caller([unknown, refused, Recognised(alice)]) == alice
    assert the_caller([Recognised(alice), Recognised(alice)]) == alice
    with pytest.raises(AuthenticationFailed, match=r"It was revoked\."):
        the_caller([unknown, refused])
    with pytest.raises(AuthenticationFailed, match="two tenants"):
        the_caller([Recognised(alice), Recognised(bob)])

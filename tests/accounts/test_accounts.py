from __future__ import annotations

import logging
import threading

import pytest
from sqlalchemy import select

from kvproxy.accounts.account_values import Budget, CreditLimit, KeyOrder, key_subject, tenant_subject
from kvproxy.accounts.accounts import Accounts
from kvproxy.core import DEFAULT_PERMISSIONS, Caller
from kvproxy.database.database import Database
from kvproxy.database.tables.account_tables import API_KEYS
from kvproxy.errors import AccountNotFound, AuthenticationFailed
from tests.accounts.conftest import SECRET

ORDER = KeyOrder("alice", DEFAULT_PERMISSIONS, label="laptop", isolate_by="prompt_cache_key")


def test_a_key_names_its_caller(accounts: Accounts) -> None:
    new = accounts.create_key(ORDER)
    caller = accounts.caller_of(["a placeholder", new.text])
    scope = accounts.tenant("alice").scope
    assert caller == Caller(
        "alice", scope, "prompt_cache_key", None, new.stored.id, permissions=DEFAULT_PERMISSIONS
    )
    assert accounts.caller_of(["a placeholder", new.text[:-1]]) is None
    assert accounts.caller_of([]) is None


def test_only_a_keyed_hash_is_kept(accounts: Accounts, database: Database) -> None:
    new = accounts.create_key(ORDER)
    with database.snapshot() as db:
        row = db.execute(select(API_KEYS)).one()
    assert not any(new.text in str(value) or new.text.encode() in bytes(str(value), "utf-8") for value in row)
    assert new.text not in repr(new) and new.text not in repr(accounts.keys())
    assert Accounts(database, b"another secret".ljust(32)).recognise(new.text).caller is None


def test_a_revoked_key_is_refused_with_the_reason(accounts: Accounts) -> None:
    new, other = accounts.create_key(ORDER), accounts.create_key(ORDER)
    accounts.revoke_key(new.stored.id)
    with pytest.raises(AuthenticationFailed, match=r"revoked on .* Ask the proxy's operator"):
        accounts.caller_of([new.text])
    found = accounts.caller_of([new.text, other.text])
    assert found is not None and found.key == other.stored.id
    first = accounts.key(new.stored.id)
    assert accounts.revoke_key(new.stored.id) == first  # the first time counts


def test_two_good_keys_are_refused(accounts: Accounts) -> None:
    one, two = accounts.create_key(ORDER), accounts.create_key(ORDER)
    with pytest.raises(AuthenticationFailed, match="two API keys"):
        accounts.caller_of([one.text, two.text])
    accounts.create_tenant("bob")
    other = accounts.create_key(KeyOrder("bob", DEFAULT_PERMISSIONS))
    with pytest.raises(AuthenticationFailed, match="two tenants"):
        accounts.caller_of([one.text, other.text])


def test_a_closed_tenants_keys_are_refused(accounts: Accounts) -> None:
    new = accounts.create_key(ORDER)
    accounts.close_tenant("alice")
    with pytest.raises(AuthenticationFailed, match="tenant of this API key was closed"):
        accounts.caller_of([new.text])
    assert accounts.closed("alice") is not None and accounts.closed("acme") is None
    accounts.close_tenant("alice", closed=False)
    assert accounts.caller_of([new.text]) is not None


def test_budgets_of_a_caller_are_its_tenants_and_its_keys(accounts: Accounts) -> None:
    new = accounts.create_key(ORDER)
    caller = accounts.caller_of([new.text])
    assert caller is not None and accounts.budgets_of(caller) == ()
    day = Budget(tenant_subject("alice"), "day", tokens=1000, nano=10**9)
    minute = Budget(key_subject(new.stored.id), "minute", requests=60)
    for budget in (day, minute, Budget(tenant_subject("acme"), "day", requests=1)):
        accounts.set_budget(budget)
    assert accounts.budgets_of(caller) == (day, minute)
    accounts.set_budget(Budget(tenant_subject("alice"), "day", tokens=5))
    assert accounts.budgets_of(caller) == (Budget(tenant_subject("alice"), "day", tokens=5), minute)
    accounts.set_budget(Budget(tenant_subject("alice"), "day"))
    assert accounts.budgets_of(caller) == (minute,)


def test_credit_of_tenants(accounts: Accounts, database: Database) -> None:
    assert accounts.tenant("alice").credit_nano == 0
    assert accounts.set_credit("alice", CreditLimit(None)).credit_nano is None
    assert accounts.tenant("alice").credit_nano is None
    assert accounts.create_tenant("bob", CreditLimit(5)).credit_nano == 5
    generous = Accounts(database, SECRET, default_credit_nano=7)
    assert generous.create_tenant("carol").credit_nano == 7


def test_what_is_not_there_is_said(accounts: Accounts) -> None:
    for attempt in (
        lambda: accounts.tenant("nobody"),
        lambda: accounts.key("key_0"),
        lambda: accounts.revoke_key("key_0"),
        lambda: accounts.rotate_key("key_0"),
        lambda: accounts.set_credit("nobody", CreditLimit(0)),
        lambda: accounts.close_tenant("nobody"),
        lambda: accounts.set_budget(Budget("tenant:nobody", "day", tokens=1)),
        lambda: accounts.set_budget(Budget("key:key_0", "day", tokens=1)),
        lambda: accounts.create_key(KeyOrder("nobody", DEFAULT_PERMISSIONS)),
    ):
        with pytest.raises(AccountNotFound):
            attempt()


def test_another_process_sees_changes_after_a_refresh(accounts: Accounts, database: Database) -> None:
    other = Accounts(database, SECRET)
    other.load()
    seen = [(other.has_keys, other.refresh())]
    new = accounts.create_key(ORDER)
    assert other.recognise(new.text).caller is None
    seen.append((other.refresh(), other.has_keys))
    assert seen == [(False, False), (True, True)]
    assert other.recognise(new.text).caller == accounts.recognise(new.text).caller
    accounts.revoke_key(new.stored.id)
    assert other.refresh() and other.recognise(new.text).refusal is not None
    assert not other.refresh()
    assert other.has_keys  # a revoked key does not open the proxy to everybody


def test_changes_at_the_same_time_are_all_kept(accounts: Accounts, database: Database) -> None:
    def make() -> None:
        own = Accounts(database, SECRET)
        for _ in range(5):
            own.create_key(ORDER)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accounts.refresh()
    assert len(accounts.keys("alice")) == 20 and accounts.keys("acme") == []


def test_keys_of_another_secret_are_told(
    accounts: Accounts, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    accounts.create_key(ORDER)
    accounts.warn_of_foreign_keys()
    assert caplog.text == ""
    moved = Accounts(database, b"another secret".ljust(32))
    moved.load()
    with caplog.at_level(logging.WARNING):
        moved.warn_of_foreign_keys()
    assert "1 API keys were made with another keys.secret" in caplog.text
    assert moved.has_keys


def test_a_look_up_does_not_grow_with_the_number_of_keys(accounts: Accounts) -> None:
    """One hash and one look-up: counted by the hashes, as a time would say it on a quiet machine only."""
    keys = [accounts.create_key(ORDER) for _ in range(30)]
    hashed: list[str] = []
    real = accounts._hash.digest

    class Counting:
        def digest(self, key: str) -> bytes:
            hashed.append(key)
            return real(key)

    accounts._hash = Counting()  # type: ignore[assignment]  # counts, and is asked for nothing else
    assert accounts.recognise(keys[-1].text).caller is not None
    assert hashed == [keys[-1].text]


def test_the_last_use_of_a_key_is_known_since_the_start(accounts: Accounts) -> None:
    new = accounts.create_key(KeyOrder("alice", frozenset({"read"})))
    assert accounts.last_used(new.stored.id) is None
    accounts.recognise("sk-kvproxy-of-nobody")
    accounts.recognise(new.text)
    used = accounts.last_used(new.stored.id)
    assert used is not None and used >= new.stored.created_ms
    accounts.revoke_key(new.stored.id)
    accounts.recognise(new.text)
    assert accounts.last_used(new.stored.id) == used, "a refused key is not used"

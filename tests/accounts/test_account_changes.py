from __future__ import annotations

import pytest
from sqlalchemy import insert

from kvproxy.accounts.account_changes import StaticTenant
from kvproxy.accounts.account_values import MOST_LABEL, Budget, CreditLimit, KeyOrder, key_subject, now_ms
from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.open_accounts import static_tenants
from kvproxy.core import ALL_PERMISSIONS, Permission, scope_of_key, secret_scope
from kvproxy.core.money import MOST_NANO
from kvproxy.database.database import Database
from kvproxy.database.tables.account_tables import TENANTS
from kvproxy.errors import AccountNotFound, AlreadyUsed, AuthenticationFailed, InvalidRequest, SetupError
from tests.accounts.conftest import ACME, SECRET

READ: frozenset[Permission] = frozenset({"read"})


def test_a_tenant_of_the_configuration_keeps_its_scope_when_its_key_changes(
    accounts: Accounts, database: Database
) -> None:
    scope = accounts.tenant("acme").scope
    again = Accounts(database, SECRET)
    again.adopt(static_tenants([("acme", "another-key-0123456789")]))
    assert again.tenant("acme").scope == scope
    assert [t.id for t in again.tenants()] == ["acme", "alice", "anonymous"]


def test_a_key_under_another_name_is_refused(accounts: Accounts) -> None:
    """Its private documents and money belong to the old name: nobody may take them along unnoticed."""
    with pytest.raises(SetupError, match="gives 'acme2' the key that tenant 'acme' had"):
        accounts.adopt(static_tenants([("acme2", ACME)]))


def test_a_tenant_of_before_keeps_the_scope_that_it_had(database: Database) -> None:
    with database.transaction() as db:
        db.execute(insert(TENANTS).values(id="acme", scope=scope_of_key(ACME), created_ms=1, credit_nano=0))
    accounts = Accounts(database, SECRET)
    accounts.adopt(static_tenants([("acme", ACME)]))
    assert accounts.tenant("acme").scope == scope_of_key(ACME)
    with pytest.raises(SetupError, match="gives 'other' the key that tenant 'acme' had"):
        accounts.adopt(static_tenants([("other", ACME)]))


def test_a_new_tenants_scope_needs_the_secret(database: Database) -> None:
    accounts = Accounts(database, SECRET)
    accounts.adopt(static_tenants([("acme", ACME)]))
    assert accounts.tenant("acme").scope == secret_scope(SECRET, ACME) != secret_scope(b"t" * 32, ACME)


def test_a_failed_change_writes_nothing(accounts: Accounts) -> None:
    before = accounts.tenants()
    with pytest.raises(SetupError):
        accounts.adopt([StaticTenant("new", "a-new-key-0123456789"), StaticTenant("other", ACME)])
    accounts.load()
    assert accounts.tenants() == before


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "a" * 65, "ä", "a\n"])
def test_names_of_tenants_that_are_made(accounts: Accounts, name: str) -> None:
    with pytest.raises(InvalidRequest, match="a tenant has a name"):
        accounts.create_tenant(name)


def test_a_name_that_is_taken(accounts: Accounts) -> None:
    with pytest.raises(AlreadyUsed, match="There is a tenant 'alice' already"):
        accounts.create_tenant("alice")


def test_limits_that_cannot_be_stored(accounts: Accounts) -> None:
    for value in (-1, MOST_NANO + 1):
        for attempt in (
            lambda v=value: accounts.set_credit("alice", CreditLimit(v)),
            lambda v=value: accounts.set_budget(Budget("tenant:alice", "day", tokens=v)),
            lambda v=value: accounts.set_budget(Budget("tenant:alice", "day", nano=v)),
            lambda v=value: accounts.set_budget(Budget("tenant:alice", "day", requests=v)),
        ):
            with pytest.raises(InvalidRequest, match="must be from 0"):
                attempt()
    accounts.set_budget(Budget("tenant:alice", "day", tokens=0, nano=MOST_NANO))
    assert accounts.budgets("tenant:alice") == (Budget("tenant:alice", "day", tokens=0, nano=MOST_NANO),)


@pytest.mark.parametrize(
    "order",
    [
        KeyOrder("alice", frozenset()),
        KeyOrder("alice", READ, label="x" * (MOST_LABEL + 1)),
        KeyOrder("alice", READ, expires_ms=now_ms() - 1),
    ],
)
def test_keys_that_would_be_of_no_use(accounts: Accounts, order: KeyOrder) -> None:
    with pytest.raises(InvalidRequest):
        accounts.create_key(order)
    assert accounts.keys() == []


def test_a_rotated_key_is_refused_at_once(accounts: Accounts) -> None:
    old = accounts.create_key(KeyOrder("alice", READ, "laptop", now_ms() + 10**9, "prompt_cache_key"))
    budget = Budget(key_subject(old.stored.id), "day", tokens=5)
    accounts.set_budget(budget)
    new = accounts.rotate_key(old.stored.id)
    for name in ("tenant", "permissions", "label", "expires_ms", "isolate_by"):
        assert getattr(new.stored, name) == getattr(old.stored, name)
    assert new.text != old.text and new.stored.id != old.stored.id
    assert accounts.budgets(key_subject(new.stored.id)) == (
        Budget(key_subject(new.stored.id), "day", tokens=5),
    )
    assert accounts.caller_of([new.text]) is not None
    with pytest.raises(AuthenticationFailed, match="revoked"):
        accounts.caller_of([old.text])


def test_a_rotated_key_with_an_overlap_is_good_until_it_ends(accounts: Accounts) -> None:
    old = accounts.create_key(KeyOrder("alice", ALL_PERMISSIONS))
    began = now_ms()
    new = accounts.rotate_key(old.stored.id, overlap_ms=3_600_000)
    assert accounts.caller_of([old.text]) is not None and accounts.caller_of([new.text]) is not None
    ends = accounts.key(old.stored.id).expires_ms
    assert ends is not None and began + 3_600_000 <= ends <= now_ms() + 3_600_000
    assert new.stored.expires_ms is None


def test_an_overlap_does_not_prolong_a_key(accounts: Accounts) -> None:
    ends = now_ms() + 60_000
    old = accounts.create_key(KeyOrder("alice", READ, expires_ms=ends))
    accounts.rotate_key(old.stored.id, overlap_ms=3_600_000)
    assert accounts.key(old.stored.id).expires_ms == ends


def test_an_ended_key_is_not_rotated(accounts: Accounts) -> None:
    old = accounts.create_key(KeyOrder("alice", READ))
    accounts.revoke_key(old.stored.id)
    with pytest.raises(InvalidRequest, match="has ended already"):
        accounts.rotate_key(old.stored.id)
    assert len(accounts.keys()) == 1


@pytest.mark.parametrize("odd", ["\0", "\ud800", "x\0y"])
def test_ids_that_no_database_can_hold_are_not_there(accounts: Accounts, odd: str) -> None:
    for attempt in (
        lambda: accounts.revoke_key(odd),
        lambda: accounts.close_tenant(odd),
        lambda: accounts.create_key(KeyOrder(odd, READ)),
    ):
        with pytest.raises(AccountNotFound, match="'…'"):
            attempt()
    with pytest.raises(InvalidRequest, match="label"):
        accounts.create_key(KeyOrder("alice", READ, label=odd))

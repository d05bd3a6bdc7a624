from __future__ import annotations

import pytest
from sqlalchemy import text

from kvproxy.accounts.account_rows import account_change, change_number, read_accounts
from kvproxy.accounts.account_values import KeyOrder
from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.key_hash import KeyHash
from kvproxy.database.database import Database
from tests.accounts.conftest import SECRET


def test_changes_are_counted_with_what_they_change(accounts: Accounts, database: Database) -> None:
    with database.snapshot() as db:
        before = change_number(db)
    with account_change(database):
        pass
    with pytest.raises(RuntimeError), account_change(database):
        raise RuntimeError
    with database.snapshot() as db:
        assert change_number(db) == before + 1


def test_a_database_without_accounts(database: Database) -> None:
    with database.snapshot() as db:
        found = read_accounts(db, "mark")
    assert (found.number, found.tenants, found.keys) == (0, {}, {})


def test_a_permission_of_a_newer_version_allows_nothing(accounts: Accounts, database: Database) -> None:
    accounts.create_key(KeyOrder("alice", frozenset({"read"})))
    with database.transaction() as db:
        db.execute(text("UPDATE api_keys SET permissions = 'read erase'"))
    with database.snapshot() as db:
        found = read_accounts(db, KeyHash(SECRET).mark)
    assert [key.permissions for key in found.keys.values()] == [frozenset({"read"})]

"""Accounts on both databases."""

from __future__ import annotations

import pytest

from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grants import Grants
from kvproxy.accounts.open_accounts import static_tenants
from kvproxy.database import tables
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA

assert tables.__all__

SECRET = b"s" * 32
ACME = "acme-key-0123456789"


@pytest.fixture
def database(a_database: Database) -> Database:
    METADATA.create_all(a_database.engine)
    return a_database


@pytest.fixture
def accounts(database: Database) -> Accounts:
    """Accounts with the tenants acme, of the configuration, and alice."""
    made = Accounts(database, SECRET)
    made.adopt(static_tenants([("acme", ACME)]))
    made.create_tenant("alice")
    return made


@pytest.fixture
def grants(database: Database, accounts: Accounts) -> Grants:
    made = Grants(database)
    made.load()
    return made

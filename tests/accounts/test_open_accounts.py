from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from kvproxy.accounts.account_values import KeyOrder
from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grant_values import Grant
from kvproxy.accounts.grants import Grants
from kvproxy.accounts.key_hash import open_secret
from kvproxy.accounts.open_accounts import open_accounts, static_tenants
from kvproxy.core import ANONYMOUS, secret_scope
from kvproxy.database.database import Database

KEYS = [("acme", "acme-key-0123456789")]


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  a background task of another thread changes it
            await asyncio.sleep(0.005)


async def test_changes_of_another_process_become_visible(database: Database, tmp_path: Path) -> None:
    async with open_accounts(database, tmp_path, static_tenants(KEYS), refresh_s=0.01) as opened:
        assert opened.accounts.tenant("acme").scope == secret_scope(open_secret(tmp_path), KEYS[0][1])
        assert opened.accounts.tenant("anonymous").scope == ANONYMOUS.scope
        other = Accounts(database, open_secret(tmp_path))
        new = other.create_key(KeyOrder("acme", frozenset({"read"})))
        await eventually(lambda: opened.accounts.recognise(new.text).caller is not None)
        caller = opened.accounts.recognise(new.text).caller
        assert caller is not None
        grants = Grants(database)
        grants.create(Grant("", "acme", "handbook", None, "key", new.stored.id, 0))
        await eventually(lambda: opened.grants.grant_for("handbook", 1, "acme", caller, 0) is not None)
        other.revoke_key(new.stored.id)
        await eventually(lambda: opened.accounts.recognise(new.text).refusal is not None)


async def test_accounts_outlive_a_database_that_is_away(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_accounts(database, tmp_path, static_tenants(KEYS), refresh_s=0.01) as opened:
        new = await asyncio.to_thread(opened.accounts.create_key, KeyOrder("acme", frozenset({"read"})))
        real = database.snapshot
        caplog.set_level(logging.INFO)

        tries: list[None] = []

        def away() -> None:
            tries.append(None)
            raise OSError("no route to the database")

        database.snapshot = away  # type: ignore[assignment,method-assign]  # stands for a broken network
        await eventually(lambda: len(tries) > 3)
        assert opened.accounts.recognise(new.text).caller is not None
        database.snapshot = real  # type: ignore[method-assign]  # the network is mended
        await eventually(lambda: "can be read again" in caplog.text)
    assert [r.levelname for r in caplog.records if "cannot be read" in r.message] == ["ERROR"]  # told once

"""`open_accounts`: accounts and grants of a database, kept up to date with what other processes change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from kvproxy.accounts.account_changes import StaticTenant
from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grants import Grants
from kvproxy.accounts.key_hash import open_secret
from kvproxy.core import ANONYMOUS
from kvproxy.database.announcements import ChangeTopic
from kvproxy.database.database import Database
from kvproxy.database.topic_changes import TopicChanges
from kvproxy.runtime.run_to_completion import run_to_completion

logger = logging.getLogger(__name__)

REFRESH_S = 2.0
"""Seconds between two looks for changes by other processes, where the database does not tell of them at once. A key
that the command line revokes is refused by then."""


@dataclass(frozen=True, slots=True)
class OpenAccounts:
    """The accounts and grants of a running proxy."""

    accounts: Accounts
    grants: Grants


@asynccontextmanager
async def open_accounts(
    database: Database,
    folder: Path,
    static: Iterable[StaticTenant] = (),
    *,
    default_credit_nano: int | None = 0,
    refresh_s: float = REFRESH_S,
) -> AsyncIterator[OpenAccounts]:
    """Read all accounts, with the configuration's tenants among them, and follow their changes until the end.

    ``folder`` holds the secret of the keys' hashes. The database's schema must be there: see ``migrate``.

    Example:
        ``async with open_accounts(database, config.store.path, static_tenants(keys)) as opened: …``
    """
    opened = await asyncio.to_thread(_open, database, folder, tuple(static), default_credit_nano)
    with closing(TopicChanges(database.changes, ChangeTopic.ACCOUNTS, refresh_s)) as changes:
        following = asyncio.create_task(_follow(opened, changes))
        try:
            yield opened
        finally:
            # Never cancelled: its thread would go on reading while the database is closed.
            changes.close()
            await run_to_completion(_finished(following))


def static_tenants(keys: Iterable[tuple[str, str]]) -> tuple[StaticTenant, ...]:
    """Return the tenants of the configuration's keys, (name, key) pairs, and the one of a proxy without keys."""
    return (*(StaticTenant(name, key) for name, key in keys), StaticTenant(ANONYMOUS.name, None))


def _open(
    database: Database, folder: Path, static: tuple[StaticTenant, ...], default_credit_nano: int | None
) -> OpenAccounts:
    accounts = Accounts(database, open_secret(folder), default_credit_nano=default_credit_nano)
    accounts.adopt(static)
    accounts.warn_of_foreign_keys()
    grants = Grants(database)
    grants.load()
    return OpenAccounts(accounts, grants)


async def _follow(opened: OpenAccounts, changes: TopicChanges) -> None:
    """Refresh until the end. Without a database accounts stay as they were; the log tells from when, and until when."""
    failing = False
    while await changes.next():
        try:
            await asyncio.to_thread(_refresh, opened)
        except Exception:  # whatever a driver raises: keys must not stay as they are for ever because of it
            if not failing:
                logger.exception("accounts cannot be read; keys and grants stay as they were until they can")
            failing = True
        else:
            if failing:
                logger.info("accounts can be read again")
            failing = False


def _refresh(opened: OpenAccounts) -> None:
    opened.accounts.refresh()
    opened.grants.refresh()


async def _finished(task: asyncio.Task[None]) -> None:
    await task

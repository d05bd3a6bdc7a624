"""A market for the fake proxy: real accounts in SQLite, with an administrator and a tenant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grants import Grants
from kvproxy.accounts.open_accounts import open_accounts, static_tenants
from kvproxy.core import ALL_PERMISSIONS
from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.ledger.ledger import Ledger
from kvproxy.server.market import Market
from tests.server.doubles import Proxy, make_proxy

BOSS = ("boss", "boss-key-0123456789")
"""The configuration's key with every permission."""

ACME = ("acme", "acme-key-0123456789")
"""A publisher of the configuration, with the permissions that keys have by default."""


@dataclass(frozen=True)
class MarketProxy:
    """A proxy with a market, and what its tests look into."""

    proxy: Proxy
    database: Database
    accounts: Accounts
    grants: Grants
    ledger: Ledger


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@asynccontextmanager
async def market_proxy(
    folder: Path, *, url: str | None = None, **attributes: Any
) -> AsyncIterator[MarketProxy]:
    """A proxy whose market has accounts, grants and a ledger; ``attributes`` are further ones of the market. There are
    tenants boss, acme and alice. ``url`` None: SQLite in the folder."""
    database = await asyncio.to_thread(_migrated, url, folder)
    try:
        keys = (BOSS, ACME)
        async with (
            open_accounts(database, folder, static_tenants(keys), refresh_s=0.02) as opened,
            Ledger.open(database, folder, currency="USD") as ledger,
        ):
            await asyncio.to_thread(opened.accounts.create_tenant, "alice")
            parts: dict[str, Any] = {
                "accounts": opened.accounts,
                "grants": opened.grants,
                "ledger": ledger,
                **attributes,
            }
            market = Market(**parts)
            proxy = make_proxy(api_keys=keys, permissions={"boss": ALL_PERMISSIONS}, market=market)
            yield MarketProxy(proxy, database, opened.accounts, opened.grants, ledger)
    finally:
        await asyncio.to_thread(database.close)


def _migrated(url: str | None, folder: Path) -> Database:
    database = Database.open(url, folder)
    migrate(database)
    return database

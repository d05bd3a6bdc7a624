"""Each permission sees the views and has the actions that it is for, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.core import Permission
from kvproxy.server.dashboard.market_routes import MARKET_ROUTES
from tests.server.dashboard.opened_market import opened_market

SEEN: dict[Permission, set[str]] = {
    "read": {"/ui/misses", "/ui/misses/{answer}"},
    "publish": {"/ui/keys", "/ui/grants", "/ui/grants/{grant}/revoke"},
    "ledger": {
        *("/ui/publishers", "/ui/publishers/statement", "/ui/publishers/statement.json"),
        "/ui/publishers/check",
    },
    "metrics": set(),
    "admin": {row.path for row in MARKET_ROUTES if not row.path.startswith("/ui/grants")},
}


@pytest.mark.parametrize("scope", SEEN)
async def test_a_permission_opens_what_it_is_for(scope: Permission, tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        await market.browser.log_in(await market.key(scope))
        front = await market.browser.get("/ui/login")
        for row in MARKET_ROUTES:
            path = row.path.replace("{", "").replace("}", "")
            allowed = row.path in SEEN[scope] or (
                row.path == "/ui/keys" and row.method == "GET" and scope == "publish"
            )
            if row.method == "POST" and row.path == "/ui/keys":
                allowed = scope == "admin"
            if row.method == "GET":
                page = await market.browser.get(path)
            else:
                page = await market.browser.post(path, {"csrf": front.token})
            assert (page.status != 403) == allowed, (row.method, path, page.status)


@pytest.mark.parametrize("scope", SEEN)
async def test_the_navigation_has_what_the_key_may_see(scope: Permission, tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        await market.browser.log_in(await market.key(scope))
        front = await market.browser.get("/ui")
        for row in MARKET_ROUTES:
            if row.label:
                assert (f'href="{row.path}"' in front.text) == (row.path in SEEN[scope])


async def test_no_action_without_the_token_of_the_session(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        await market.browser.log_in(await market.key("admin", "publish", "ledger"))
        for row in MARKET_ROUTES:
            if row.method == "POST":
                path = row.path.replace("{", "").replace("}", "")
                page = await market.browser.post(path, {"csrf": "0" * 64})
                assert page.status == 403 and "not of this session" in page.words, path

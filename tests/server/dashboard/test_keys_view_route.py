from __future__ import annotations

import re
from pathlib import Path

import pytest

from kvproxy.dashboard.shown_values import NOTHING
from kvproxy.errors import AuthenticationFailed
from tests.server.dashboard.browsing import Page
from tests.server.dashboard.opened_market import known, opened_market
from tests.server.markets import ACME, BOSS


async def test_an_admin_makes_a_key_that_is_shown_once_and_revokes_it(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        form = await market.browser.log_in(BOSS[1], "/ui/keys")
        fields = {"tenant": "alice", "scope_read": "1", "label": "her notebook", "days": "7"}
        made = await market.browser.post("/ui/keys", {**fields, "csrf": form.token})
        found = re.search(r'id="new-key"[^>]* value="([^"]+)"', made.text)
        assert made.status == 200 and found is not None
        assert made.answer.headers["Cache-Control"] == "no-store"
        keyring = market.proxy.components.keyring
        caller = keyring.caller({"Authorization": f"Bearer {found[1]}"})
        assert (caller.name, caller.permissions) == ("alice", frozenset({"read"}))
        listed = await market.browser.get("/ui/keys")
        assert "her notebook" in listed.words and found[1] not in listed.text
        (stored,) = market.made.accounts.keys("alice")
        gone = await market.browser.post(f"/ui/keys/{stored.id}/revoke", {"csrf": form.token})
        assert f"The key {stored.hint} of alice is revoked." in gone.words and "revoked" in gone.words
        with pytest.raises(AuthenticationFailed):
            keyring.caller({"Authorization": f"Bearer {found[1]}"})


async def test_a_form_that_cannot_be_carried_out_comes_back_with_the_reason(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        form = await market.browser.log_in(BOSS[1], "/ui/keys")
        fields = {"tenant": "nobody", "scope_read": "1", "label": "kept text"}
        page = await market.browser.post("/ui/keys", {**fields, "csrf": form.token})
        assert page.status == 404 and "nobody" in page.words and 'value="kept text"' in page.text
        days = await market.browser.post("/ui/keys", {**fields, "days": "soon", "csrf": form.token})
        assert days.status == 400 and "Days: a whole number from 1 to 36,500" in days.words
        none = await market.browser.post("/ui/keys", {"tenant": "alice", "csrf": form.token})
        assert none.status == 400 and "Choose at least one scope" in none.words
        assert market.made.accounts.keys("alice") == []


async def test_tenants_are_made_and_closed_and_opened(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        form = await market.browser.log_in(BOSS[1], "/ui/keys")
        made = await market.browser.post("/ui/tenants", {"id": "carol", "credit": "2.5", "csrf": form.token})
        assert "The tenant carol is made" in made.words
        assert market.made.accounts.tenant("carol").credit_nano == 2_500_000_000
        await market.browser.post("/ui/tenants/carol/close", {"closed": "true", "csrf": form.token})
        assert market.made.accounts.tenant("carol").closed_ms is not None
        await market.browser.post("/ui/tenants/carol/close", {"closed": "false", "csrf": form.token})
        assert market.made.accounts.tenant("carol").closed_ms is None
        wrong = await market.browser.post("/ui/tenants", {"id": "no name", "csrf": form.token})
        assert wrong.status == 400 and "no name" in wrong.text


async def test_a_publisher_grants_its_documents_and_sees_no_keys(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        form = await market.browser.log_in(ACME[1], "/ui/keys")
        assert "API keys" not in form.words and "boss" not in form.words and "alice" not in form.words
        fields = {
            "document": "acme-rules@3",
            "reader": "tenant",
            "id": "alice",
            "max_reads": "9",
            "days": "30",
        }
        page = await market.browser.post("/ui/grants", {**fields, "csrf": form.token})
        assert "acme-rules is granted to alice." in page.words and "tenant alice" in page.words
        (grant,) = market.made.grants.list("acme")
        assert (grant.version, grant.max_reads) == (3, 9) and grant.expires_ms is not None
        wrong = await market.browser.post("/ui/grants", {**fields, "reader": "everybody", "csrf": form.token})
        assert wrong.status == 400 and "leave it out" in wrong.words
        await market.browser.log_in(BOSS[1])
        other = await market.browser.get("/ui/keys")
        assert "acme-rules" not in other.words, "the readers of acme's documents are acme's to know"
        taken = await market.browser.post(f"/ui/grants/{grant.id}/revoke", {"csrf": other.token})
        assert taken.status == 404 and market.made.grants.get(grant.id).revoked_ms is None
        mine = await market.browser.log_in(ACME[1], "/ui/keys")
        await market.browser.post(f"/ui/grants/{grant.id}/revoke", {"csrf": mine.token})
        assert market.made.grants.get(grant.id).revoked_ms is not None


async def test_what_is_not_known_of_a_key_is_said_in_words(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        await market.key("read")
        page = await market.browser.log_in(BOSS[1], "/ui/keys")
        assert "not since the start" in page.words and "other proxies of the same database" in page.words
        assert "configured not followed good there" in page.words, "a key of the configuration"
        assert "then grant it to a tenant, a key or everybody" in page.words
        assert NOTHING not in page.words


async def test_tenants_and_grants_are_made_and_ended_without_a_script(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        form = await market.browser.log_in(BOSS[1], "/ui/keys")

        async def post(path: str, **fields: str) -> Page:
            return await market.browser.post(path, {"csrf": form.token, **fields})

        assert "The tenant shop is made" in (await post("/ui/tenants", id="shop")).words
        twice = await post("/ui/tenants", id="shop")
        assert twice.status == 409 and 'href="#form-tenant">To the form' in twice.text
        assert "shop is closed" in (await post("/ui/tenants/shop/close", closed="true")).words
        assert "shop is open again" in (await post("/ui/tenants/shop/close", closed="false")).words
        known(market, "handbook", "boss", "granted")
        made = await post("/ui/grants", document="handbook", reader="tenant", id="shop", max_reads="5")
        assert "handbook is granted to shop" in made.words and "0 of 5" in made.words
        (grant,) = market.made.grants.list("boss")
        ended = await post(f"/ui/grants/{grant.id}/revoke")
        assert "The grant of handbook is revoked" in ended.words
        for days in ("0", "soon", "1e3", "999999"):
            fields = {"document": "handbook", "reader": "everybody", "days": days}
            refused = await post("/ui/grants", **fields)
            assert refused.status == 400 and "Days: a whole number" in refused.words
        nothing = await post("/ui/keys", tenant="shop")
        assert nothing.status == 400 and "Choose at least one scope" in nothing.words


async def test_an_admin_cannot_lock_itself_out(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        form = await market.browser.log_in(BOSS[1], "/ui/keys")
        assert "/ui/tenants/boss/close" not in form.text and "your own" in form.words
        refused = await market.browser.post("/ui/tenants/boss/close", {"csrf": form.token, "closed": "true"})
        assert refused.status == 400 and "This is your own tenant" in refused.words
        assert (await market.browser.get("/ui/keys")).status == 200

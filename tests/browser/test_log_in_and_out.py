"""Logging in with an API key and out again, as a person does it."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.staged_proxy import KEYS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]


async def test_a_wrong_key_is_told_and_a_right_one_leads_to_the_view_that_was_asked_for(visit: Visit) -> None:
    page = (await visit("", "/ui/requests", refused=[(401, "/ui/login")])).page
    key = page.get_by_label("API key")
    await expect(key).to_be_focused()
    await key.fill("no-key-of-this-proxy")
    await key.press("Enter")
    told = page.get_by_role("alert")
    await expect(told).to_have_text("This is no key of this proxy.")
    await expect(key).to_have_attribute("aria-invalid", "true")
    await expect(key).to_have_accessible_description("This is no key of this proxy.")
    await key.fill(KEYS["robin"])
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Requests")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("status").filter(has_text="Logged out.")).to_be_visible()
    await page.go_back()
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


async def test_the_navigation_has_what_the_key_has_a_scope_for(visit: Visit) -> None:
    shown = {}
    for tenant in ("operator", "robin"):
        page = (await visit(tenant, "/ui/overview")).page
        entries = page.get_by_role("navigation", name="Views").get_by_role("link")
        shown[tenant] = await entries.all_inner_texts()
    assert set(shown["operator"]) - set(shown["robin"]) == {"Readers and keys", "Fleet", "Store"}
    assert "Publishers" in shown["robin"], "with the scope ledger"

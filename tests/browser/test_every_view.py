"""Every view in a real browser: a quiet console, no violation of the policy, no serious finding of axe, no overflow."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.watched_page import WIDTHS, WatchedPage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="session")]

PERIOD = "from=2026-01-01&to=2100-01-01"

VIEWS = [
    ("operator", "/ui/overview", "Overview"),
    ("operator", "/ui/playground", "Ask once cold, once warm"),
    ("operator", "/ui/documents", "Documents"),
    ("operator", "/ui/misses", "Misses"),
    ("operator", "/ui/keys", "Readers and keys"),
    ("operator", "/ui/publishers", "Publishers"),
    ("operator", "/ui/fleet", "Fleet"),
    ("operator", "/ui/store", "Store"),
    ("operator", "/ui/requests", "Requests"),
    ("acme", "/ui/documents", "Documents"),
    ("acme", "/ui/documents/acme/handbook", "acme/handbook"),
    ("acme", "/ui/documents/acme/handbook@1?confirm=revoke", "acme/handbook"),
    ("acme", "/ui/playground", "Ask once cold, once warm"),
    ("acme", "/ui/keys", "Readers and keys"),
    ("acme", "/ui/publishers", "Your income as a publisher"),
    ("acme", f"/ui/publishers/statement?{PERIOD}", "The statement of acme"),
    ("robin", "/ui/documents/acme/handbook", "acme/handbook"),
    ("robin", "/ui/misses", "Misses"),
    ("robin", "/ui/playground", "Ask once cold, once warm"),
    ("visitor", "/ui/documents", "Documents"),
    ("", "/ui/login", "Log in"),
    ("robin", "/ui/store", "Not allowed"),
]
"""Tenant, path and heading. Each entry of each navigation, and the views behind them."""

REFUSED = [(403, "/ui/store"), (404, "/ui/misses/no-such-answer")]
"""Statuses of what is refused here, which Chromium notes."""


async def faults(watched: WatchedPage) -> list[str]:
    """Return what is wrong with a view in any width and colour scheme."""
    found = []
    for scheme in ("light", "dark"):
        await watched.page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {finding}" for finding in await watched.grave_findings()]
    for width in WIDTHS:
        await watched.page.set_viewport_size({"width": width, "height": 900})
        if wider := await watched.overflow():
            found.append(f"{wider} pixels wider than {width}")
    return found


@pytest.mark.parametrize(("tenant", "path", "heading"), VIEWS)
async def test_a_view_is_sound_and_whole_without_a_script(
    visit: Visit, tenant: str, path: str, heading: str
) -> None:
    # Colours that are under way between two states are none that a reader has to read.
    watched = await visit(tenant, path, refused=REFUSED, reduced_motion="reduce")
    await watched.page.get_by_role("heading", level=1, name=heading).wait_for()
    tables = await watched.page.locator("main table:not(.u-legend)").count()
    assert await faults(watched) == []
    plain = (await visit(tenant, path, refused=REFUSED, java_script_enabled=False)).page
    await plain.get_by_role("heading", level=1, name=heading).wait_for()
    assert await plain.locator("main table").count() == tables
    for figures in await plain.locator("figure details").all():
        await figures.locator("summary").click()
        assert await figures.get_by_role("row").count() > 1


async def test_the_result_of_a_check_is_sound(visit: Visit) -> None:
    watched = await visit("operator", "/ui/store", reduced_motion="reduce")
    await watched.page.get_by_role("button", name="Check now").click()
    await expect(watched.page.get_by_text("A check of")).to_be_visible()
    assert await faults(watched) == []


async def test_a_new_key_is_shown_once_and_lets_its_holder_in(visit: Visit) -> None:
    watched = await visit("operator", "/ui/keys", reduced_motion="reduce")
    page = watched.page
    await page.get_by_text("Make a key").click()
    assert await faults(watched) == [], "with the form open"
    await page.get_by_label("Tenant", exact=True).fill("dana")
    await page.get_by_label("Label").fill("a laptop")
    await page.get_by_role("button", name="Make the key").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("A new key of dana")
    key = await page.get_by_label("API key").input_value()
    assert await faults(watched) == []
    await page.get_by_role("link", name="To the keys").click()
    assert key not in await page.content()
    await expect(page.get_by_role("row").filter(has_text="a laptop")).to_contain_text("dana")
    visitor = (await visit("", "/ui/overview")).page
    await visitor.get_by_label("API key").fill(key)
    await visitor.get_by_role("button", name="Log in").click()
    await expect(visitor.get_by_role("button", name="Log out")).to_be_visible()


async def test_what_a_view_opens_is_sound(visit: Visit) -> None:
    watched = await visit("robin", "/ui/misses", refused=REFUSED, reduced_motion="reduce")
    await watched.page.get_by_role("link", name="Show what differed in").first.click()
    await watched.page.get_by_role("article", name="What differed in").wait_for()
    assert await faults(watched) == []
    await watched.page.goto("/ui/misses/no-such-answer")
    assert await faults(watched) == []


@pytest.mark.parametrize("tenant", ["operator", "acme", "robin", "visitor"])
async def test_the_views_here_are_those_of_the_navigation(visit: Visit, tenant: str) -> None:
    """A view that is new has to join the table above."""
    watched = await visit(tenant, "/ui/overview")
    entries = watched.page.get_by_role("navigation", name="Views").get_by_role("link")
    paths = {await entry.get_attribute("href") for entry in await entries.all()}
    assert len(paths) > 3 and paths <= {path for _, path, _ in VIEWS}

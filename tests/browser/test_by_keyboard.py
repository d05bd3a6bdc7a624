"""The views by keyboard and to a screen reader: the order of stops, a focus that is seen, what is read out."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]

_STOP = """() => {
  const at = document.activeElement;
  if (at === document.body) return null;
  const style = getComputedStyle(at), box = at.getBoundingClientRect();
  const name = at.getAttribute("aria-label") || at.labels?.[0]?.textContent || at.textContent || at.name || "";
  return {
    name: name.trim().split("\\n")[0].trim(),
    role: at.getAttribute("role") || at.localName,
    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.width > 0 && box.height > 0 && box.right > 0 && box.bottom > 0
      && box.left < innerWidth && box.top < innerHeight,
  };
}"""


async def stops(page: Page, most: int = 80) -> list[dict[str, object]]:
    """Press Tab until the page is left; return each element that had the focus."""
    found: list[dict[str, object]] = []
    for _ in range(most):
        await page.keyboard.press("Tab")
        stop = await page.evaluate(_STOP)
        if stop is None:
            return found
        found.append(stop)
    return found


@pytest.mark.parametrize(
    ("tenant", "path", "expected"),
    [
        (
            "acme",
            "/ui/documents",
            ["Overview", "Documents", "Log out", "Id contains", "Reads", "acme/handbook"],
        ),
        (
            "operator",
            "/ui/store",
            ["Store", "Read every page, and not a random choice of 2 GiB", "Check now"],
        ),
        ("robin", "/ui/misses", ["Misses", "no-document"]),
        ("robin", "/ui/requests", ["Requests", "Outcome", "Show"]),
    ],
)
async def test_tab_reaches_everything_in_order_and_shows_where_it_is(
    visit: Visit, tenant: str, path: str, expected: list[str]
) -> None:
    page = (await visit(tenant, path, reduced_motion="reduce")).page
    found = await stops(page)
    names = [stop["name"] for stop in found]
    assert names[0] == "Skip to the content"
    places = [names.index(name) for name in expected]
    assert places == sorted(places), names
    assert [stop["name"] for stop in found if not stop["ring"]] == []
    assert [stop["name"] for stop in found if not stop["seen"]] == []


async def test_the_skip_link_leads_past_the_navigation(visit: Visit) -> None:
    page = (await visit("acme", "/ui/documents")).page
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()
    await page.keyboard.press("Tab")
    stop = await page.evaluate(_STOP)
    assert stop is not None and stop["name"] == "Publish one", "the first link of the content"


async def test_a_table_is_sorted_by_its_head_and_says_so(visit: Visit) -> None:
    page = (await visit("acme", "/ui/documents")).page
    head = page.get_by_role("columnheader", name="Tokens", exact=True)
    await head.get_by_role("link").focus()
    await page.keyboard.press("Enter")
    sorted_head = page.get_by_role("columnheader", name="Tokens", exact=True)
    first = await sorted_head.get_attribute("aria-sort")
    await sorted_head.get_by_role("link").focus()
    await page.keyboard.press("Enter")
    other = {"ascending": "descending", "descending": "ascending"}[first or ""]
    await expect(sorted_head).to_have_attribute("aria-sort", other)


@pytest.mark.parametrize("path", ["/ui/overview", "/ui/requests"])
async def test_what_changes_by_itself_is_read_out(visit: Visit, path: str) -> None:
    page = (await visit("robin", path)).page
    assert await page.get_by_role("status").count() >= 1
    await expect(page.locator("#problems")).to_have_attribute("aria-live", "assertive")


async def test_the_theme_is_a_button_that_says_its_state(visit: Visit) -> None:
    page = (await visit("robin", "/ui/overview")).page
    for now in ("auto", "light", "dark"):
        button = page.get_by_role("button", name=f"Theme: {now}")
        await expect(button).to_be_visible()
        await button.press("Enter")
    await page.get_by_role("button", name="Theme: auto").press("Enter")
    await page.reload()
    await expect(page.get_by_role("button", name="Theme: light")).to_be_visible()

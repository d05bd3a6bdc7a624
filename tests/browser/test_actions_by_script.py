"""The scripts' part of actions: what is refused before it is sent, work with progress, copying, and a stream that the
proxy refuses."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.conftest import Visit
from tests.browser.staged_proxy import StagedProxy, rules
from tests.browser.test_publishing_by_hand import form_of
from tests.browser.watched_page import WIDTHS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]

_NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
"""As browsers have it for addresses that are neither https nor loopback."""


@pytest.fixture(scope="session")
def warmable(staged: StagedProxy) -> str:
    """A document of dana's own."""
    staged.publish("dana", "dana/warmable", rules("What can be warmed", 10), visibility="private")
    return "/ui/documents/dana/warmable"


async def test_a_text_that_is_too_large_is_refused_before_it_is_sent(visit: Visit) -> None:
    page = (await visit("dana", "/ui/documents")).page
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    await form_of(page).get_by_label("Id").fill("dana/large")
    await page.evaluate("document.querySelector('form.publish').dataset.most = 5000")
    await page.get_by_label("Or paste the text").fill("word " * 2000)
    await page.get_by_role("button", name="Publish", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("4.9 KiB are taken at most. Nothing was sent.")
    assert "POST" not in sent


async def test_warming_shows_its_result_on_the_view(visit: Visit, warmable: str) -> None:
    page = (await visit("dana", warmable)).page
    await page.get_by_role("button", name="Warm", exact=True).click()
    said = page.locator("main > .notice").filter(has_text="dana/warmable@1 was warm already")
    await expect(said).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("dana/warmable")
    await expect(said).to_have_count(0)


async def test_a_publish_that_is_stopped_leaves_nothing(visit: Visit) -> None:
    page = (await visit("dana", "/ui/documents", refused=[(404, "/ui/documents/dana/stopped")])).page
    await form_of(page).get_by_label("Id").fill("dana/stopped")
    await page.get_by_label("Or paste the text").fill(rules("A long text", 250))
    await page.get_by_role("button", name="Publish", exact=True).click()
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_text("Stopped. Nothing was done.")).to_be_visible()
    await expect(page.get_by_role("button", name="Publish", exact=True)).to_be_enabled()
    await page.goto("/ui/documents/dana/stopped")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Not found")


@pytest.mark.parametrize("clipboard", [True, False])
async def test_lines_are_copied_with_and_without_a_clipboard(
    visit: Visit, warmable: str, *, clipboard: bool
) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    page = (await visit("dana", "/ui/documents", permissions=permissions)).page
    if not clipboard:
        await page.add_init_script(_NO_CLIPBOARD)
    await page.goto(warmable)
    button = page.get_by_role("button", name="Copy the lines for curl")
    await button.click()
    await expect(button).to_have_text("Copied")
    if clipboard:
        assert (await page.evaluate("navigator.clipboard.readText()")).startswith("curl http://")


async def test_the_longest_id_fits_a_telephone(visit: Visit, staged: StagedProxy) -> None:
    id = "dana/" + "x" * 123
    staged.publish("dana", id, rules("Of a long name", 4), visibility="private")
    watched = await visit("dana", f"/ui/documents/{id}", viewport={"width": WIDTHS[0], "height": 844})
    for path in (
        f"/ui/documents/{id}",
        f"/ui/documents/{id}?confirm=delete",
        "/ui/documents",
        "/ui/playground",
    ):
        await watched.page.goto(path)
        assert await watched.overflow() == 0, path


async def refuse_streams(page: Page, status: int) -> asyncio.Event:
    """Answer the next request for live figures, and the look for its reason, with a status; return what tells of it."""
    seen = asyncio.Event()
    asked = 0

    async def answer(route: Route) -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            seen.set()
            await route.fallback()
        else:
            await route.fulfill(status=status, body="")

    await page.route("**/ui/events?*", answer)
    return seen


async def test_a_proxy_that_was_not_ready_is_followed_again(visit: Visit) -> None:
    page = (await visit("dana", "/ui/documents", refused=[(503, "/ui/events")])).page
    again = await refuse_streams(page, 503)
    await page.goto("/ui/overview")
    await expect(page.locator("#live-state")).to_have_text("Not live: the proxy is not ready. Trying again…")
    await expect(page.locator("#live-state")).to_have_text("Live")
    assert again.is_set()


async def test_a_session_that_has_ended_is_said_to_have(visit: Visit) -> None:
    page = (await visit("dana", "/ui/documents", refused=[(401, "/ui/events")])).page
    await refuse_streams(page, 401)
    await page.goto("/ui/overview")
    ended = "Not live: your session has ended. Reload to log in again."
    await expect(page.locator("#live-state")).to_have_text(ended)

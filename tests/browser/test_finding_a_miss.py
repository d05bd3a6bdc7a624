"""Finding out in the browser why a prompt missed."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.staged_proxy import StagedProxy, rules

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]


async def test_the_newest_miss_shows_the_token_that_differs(visit: Visit, staged: StagedProxy) -> None:
    for weekday in ("Monday", "Tuesday"):
        staged.ask("robin", f"It is {weekday} in the office of Robin.\n{rules('Duties of the desk', 12)}")
    page = (await visit("robin", "/ui/misses")).page
    newest = page.get_by_role("region", name="The newest").get_by_role("row").nth(1)
    await newest.get_by_role("link", name="Show what differed in").click()
    difference = page.get_by_role("article", name="What differed in")
    await expect(difference).to_be_visible()
    await expect(difference).to_contain_text("Monday")
    await expect(difference.get_by_label("Both have")).to_contain_text("It is")
    await expect(difference.get_by_label("then this one goes on")).to_contain_text(
        "Tuesday in the office of Robin."
    )
    await expect(difference.get_by_label("and the one before")).to_contain_text(
        "Monday in the office of Robin."
    )
    assert "/ui/misses" in page.url and await newest.is_visible(), "the list stays"


async def test_an_operator_sees_that_it_missed_and_not_what_was_asked(visit: Visit) -> None:
    page = (await visit("operator", "/ui/misses")).page
    newest = page.get_by_role("region", name="The newest").get_by_role("row").filter(has_text="robin")
    await expect(newest.first).to_contain_text("another tenant's")
    assert await newest.get_by_role("link").count() == 0
    await page.get_by_role("link", name="My own").click()
    await expect(page.get_by_text("robin")).to_have_count(0)

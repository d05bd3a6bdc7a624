"""A publisher's statement in the browser: downloaded, checked, and refused once it was tampered with."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]


async def downloaded(page: Page) -> dict[str, Any]:
    async with page.expect_download() as begun:
        await page.get_by_role("link", name="Download it").click()
    download = await begun.value
    assert download.suggested_filename.startswith("statement-")
    told: dict[str, Any] = json.loads(await asyncio.to_thread((await download.path()).read_bytes))
    return told


async def check_file(page: Page, statement: dict[str, Any]) -> None:
    await page.goto("/ui/publishers")
    await page.get_by_text("Check a file that you have").click()
    file = {"name": "mine.json", "mimeType": "application/json", "buffer": json.dumps(statement).encode()}
    await page.get_by_label("Statement", exact=True).set_input_files(file)  # type: ignore[arg-type]
    await page.get_by_role("button", name="Check the file").click()


async def test_it_is_downloaded_and_holds_and_a_changed_one_does_not(visit: Visit) -> None:
    page = (await visit("acme", "/ui/publishers", accept_downloads=True)).page
    statement = await downloaded(page)
    assert len(statement["receipts"]) == statement["reads"] >= 2
    await check_file(page, statement)
    await expect(page.get_by_role("heading", level=1)).to_have_text("The statement in mine.json")
    await expect(page.get_by_role("status").filter(has_text="All of it holds.")).to_be_visible()
    assert await page.get_by_role("listitem").filter(has_text="fails").count() == 0
    await check_file(page, {**statement, "receipts": statement["receipts"][1:]})
    await expect(page.get_by_role("status").filter(has_text="It does not hold.")).to_be_visible()
    await expect(page.get_by_role("listitem").filter(has_text="fails").first).to_be_visible()
    await expect(page.get_by_role("heading", name="What is wrong")).to_be_visible()
    await page.goto("/ui/publishers")
    await page.get_by_role("link", name="Check it here").click()
    await expect(page.get_by_role("status").filter(has_text="All of it holds.")).to_be_visible()

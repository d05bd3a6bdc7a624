"""Figures that change while somebody looks: a request adds to them without a reload; the stream ends with its tab."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack

import httpx
import pytest
from playwright.async_api import expect

from kvproxy.server.dashboard.live_updates import MOST_OF_A_SESSION
from tests.browser.conftest import Visit
from tests.browser.staged_proxy import StagedProxy, document_part

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]

STREAM = {"Accept": "text/event-stream"}


async def ask_again(staged: StagedProxy) -> None:
    """Ask about the handbook once more, as another program does while the view is open."""
    await asyncio.to_thread(staged.ask, "robin", document_part("acme/handbook"))


async def test_a_request_appears_in_the_list_without_a_reload(visit: Visit, staged: StagedProxy) -> None:
    page = (await visit("robin", "/ui/requests")).page
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    rows = page.get_by_role("region", name="Newest requests").get_by_role("row")
    before = await rows.count()
    await page.evaluate("window.notReloaded = true")
    await ask_again(staged)
    await expect(rows).to_have_count(before + 1)
    await expect(rows.nth(1)).to_contain_text("hit")
    await expect(rows.nth(1)).to_contain_text("acme/handbook")
    assert await page.evaluate("window.notReloaded") is True


async def test_the_overviews_figures_follow(visit: Visit, staged: StagedProxy) -> None:
    page = (await visit("robin", "/ui/overview")).page
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    figure = page.get_by_role("definition").filter(has_text=re.compile(r"^\s*\d+ / \d+ .*in all"))
    hits = int((await figure.inner_text()).partition(" / ")[0])
    await ask_again(staged)
    await expect(figure).to_contain_text(re.compile(rf"^\s*{hits + 1} / "))


async def test_the_stream_ends_with_its_tab(visit: Visit) -> None:
    """By the number of streams that are left to its session."""
    page = (await visit("dana", "/ui/requests")).page
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    cookies = {cookie["name"]: cookie["value"] for cookie in await page.context.cookies()}
    address = page.url.replace("/ui/requests", "/ui/events?live=requests-rows")
    async with (
        httpx.AsyncClient(cookies=cookies, trust_env=False, timeout=30) as client,
        AsyncExitStack() as streams,
    ):

        async def opened() -> int:
            answer = await streams.enter_async_context(client.stream("GET", address, headers=STREAM))
            return answer.status_code

        others = [await opened() for _ in range(MOST_OF_A_SESSION - 1)]
        assert set(others) == {200} and await opened() == 429
        await page.close()
        async with asyncio.timeout(30):
            while await opened() == 429:
                continue

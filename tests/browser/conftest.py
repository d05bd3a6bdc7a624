"""One proxy and one Chromium for the whole folder, and tabs of tenants that are logged in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, StorageState

from tests.browser.chromium import MISSING, PATIENCE_MS, chromium_program, chromium_required, started_chromium
from tests.browser.staged_proxy import KEYS, StagedProxy, staged_proxy
from tests.browser.watched_page import WatchedPage, new_page

Visit = Callable[..., Awaitable[WatchedPage]]


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The program; skips a person's run and fails CI's where there is none."""
    path = chromium_program()
    if path is None:
        (pytest.fail if chromium_required() else pytest.skip)(MISSING)
    return path


@pytest.fixture(scope="session")
def staged(
    chromium_path: str, smollm2: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StagedProxy]:
    """The proxy with something to look at; not started where there is no browser to look with."""
    with staged_proxy(tmp_path_factory.mktemp("browser"), smollm2) as staged:
        yield staged


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium(chromium_path: str) -> AsyncIterator[Browser]:
    async with started_chromium(chromium_path) as browser:
        yield browser


@pytest.fixture(scope="session")
def sessions() -> dict[str, StorageState]:
    """The cookies of tenants that are logged in."""
    return {}


@pytest_asyncio.fixture(loop_scope="session")
async def visit(
    staged: StagedProxy, chromium: Browser, sessions: dict[str, StorageState]
) -> AsyncIterator[Visit]:
    """``await visit("robin", "/ui/misses")``: a tab of a context of its own, in which nothing may go wrong.

    The tenant "" is not logged in. ``refused``: statuses and paths of answers that the test provokes. ``options`` are
    those of a context of playwright's, such as ``viewport``.
    """
    opened: list[WatchedPage] = []
    async with AsyncExitStack() as contexts:

        async def go(
            tenant: str, path: str, *, refused: Sequence[tuple[int, str]] = (), **options: Any
        ) -> WatchedPage:
            if tenant and tenant not in sessions:
                sessions[tenant] = await _logged_in(chromium, staged.url, tenant)
            settings = {"base_url": staged.url, "locale": "en-US", **options}
            context = await chromium.new_context(storage_state=sessions.get(tenant), **settings)
            context.set_default_timeout(PATIENCE_MS)
            contexts.push_async_callback(context.close)
            opened.append(await new_page(context, refused))
            await opened[-1].page.goto(path)
            return opened[-1]

        yield go
        problems = [problem for watched in opened for problem in watched.problems]
    assert problems == []


async def _logged_in(chromium: Browser, url: str, tenant: str) -> StorageState:
    context = await chromium.new_context(base_url=url)
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    await page.goto("/ui/login")
    await page.get_by_label("API key").fill(KEYS[tenant])
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("button", name="Log out").wait_for()
    state = await context.storage_state()
    await context.close()
    return state

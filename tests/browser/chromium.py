"""Debian's Chromium, driven through playwright, whose own browsers are not downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright, expect

MISSING = "there is no Chromium: apt-get install chromium, or KVPROXY_CHROMIUM=/path/of/its/program"

PATIENCE_MS = 60_000
"""For what a page does at once: ten times what a busy machine takes."""


def chromium_program() -> str | None:
    """Return the program's path; None where there is none.

    Example: ``chromium_program()`` is ``"/usr/bin/chromium"`` on Debian
    """
    chosen = os.environ.get("KVPROXY_CHROMIUM")
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return chosen or next((path for path in found if path), None)


def chromium_required() -> bool:
    """Return whether tests fail where there is no Chromium, as CI's do, and do not skip."""
    return os.environ.get("CI") == "true" or os.environ.get("KVPROXY_REQUIRE_CHROMIUM") == "1"


@asynccontextmanager
async def started_chromium(program: str) -> AsyncIterator[Browser]:
    """Start it without windows. Containers lack what its sandbox needs, and only our own pages are loaded.

    Example: ``async with started_chromium("/usr/bin/chromium") as chromium: ...``
    """
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()

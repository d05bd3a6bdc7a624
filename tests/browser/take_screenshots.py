"""Command that takes the pictures of the dashboard in docs/images: ``python -m tests.browser.take_screenshots``.

A proxy on the small model and a fake fleet serve some minutes of requests, so that there is something to see. Look at
each picture before it is committed.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, Page, expect

from kvproxy.config import default_cache_dir
from kvproxy.engine.models.smollm2 import bundled_model
from tests.browser.chromium import MISSING, chromium_program, started_chromium
from tests.browser.screenshot_traffic import publish_more, run_traffic
from tests.browser.staged_proxy import KEYS, StagedProxy, staged_proxy

FOLDER = Path(__file__).parents[2] / "docs" / "images"
PATIENCE_MS = 240_000
PERIOD = "from=2026-01-01&to=2100-01-01"


@dataclass(frozen=True)
class Picture:
    """One file: whose view, at which address, after which steps."""

    name: str
    tenant: str
    path: str
    steps: Callable[[Page], Awaitable[None]] | None = None
    width: int = 1400
    dark: bool = False
    height: int | None = None
    """Pixels from the top; None: the whole view."""


async def ask_both(page: Page, euros: int = 5) -> None:
    """Ask a question cold and warm: one that was not asked before, whose own KV would be kept as well."""
    await page.get_by_label("Question").fill(f"Who approves a refund above {euros} euros?")
    await page.get_by_label("Answer, tokens at most").fill("32")
    await page.get_by_role("button", name="Ask cold, then warm").click()
    await expect(page.get_by_text("The answers are equal")).to_be_visible(timeout=PATIENCE_MS)


async def open_difference(page: Page) -> None:
    """Load the view of the newest miss by a changed time."""
    rows = page.get_by_role("region", name="The newest").get_by_role("row").filter(has_text="timestamp")
    await page.goto(await rows.first.get_by_role("link").get_attribute("href") or "")


FIRST_VISIT = Picture("first-visit", "visitor", "/ui")

PICTURES = (
    Picture("login", "", "/ui/login"),
    Picture("overview", "robin", "/ui/overview"),
    Picture("overview-dark", "operator", "/ui/overview", dark=True),
    Picture("overview-390", "robin", "/ui/overview", width=390, height=1500),
    Picture("playground", "acme", "/ui/playground?document=acme/handbook@2", ask_both),
    Picture(
        "playground-390",
        "acme",
        "/ui/playground?document=acme/handbook@2",
        partial(ask_both, euros=20),
        width=390,
    ),
    Picture("documents", "acme", "/ui/documents"),
    Picture("document", "acme", "/ui/documents/acme/handbook", height=1500),
    Picture("misses", "robin", "/ui/misses", height=1200),
    Picture("miss", "robin", "/ui/misses", open_difference),
    Picture("misses-dark", "robin", "/ui/misses", dark=True, height=900),
    Picture("keys", "operator", "/ui/keys"),
    Picture("publishers", "acme", "/ui/publishers"),
    Picture("statement", "acme", f"/ui/publishers/statement?{PERIOD}"),
    Picture("fleet", "operator", "/ui/fleet"),
    Picture("store", "operator", "/ui/store"),
    Picture("requests", "robin", "/ui/requests", height=900),
)


async def take(chromium: Browser, url: str, picture: Picture, folder: Path) -> None:
    """Log in, do the steps, and write ``dashboard-NAME.png``.

    Example: ``await take(chromium, staged.url, FIRST_VISIT, FOLDER)``
    """
    context = await chromium.new_context(
        base_url=url,
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
        color_scheme="dark" if picture.dark else "light",
        viewport={"width": picture.width, "height": 400},  # less than any view has: no blank end
    )
    page = await context.new_page()
    if picture.tenant:
        await page.goto("/ui/login")
        await page.get_by_label("API key").fill(KEYS[picture.tenant])
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("button", name="Log out").wait_for()
    await page.goto(picture.path)
    if picture.steps is not None:
        await picture.steps(page)
    await page.evaluate("document.activeElement?.blur()")
    taken = await page.screenshot(full_page=True)
    await context.close()
    await asyncio.to_thread(write_small, taken, picture.height, folder / f"dashboard-{picture.name}.png")


def write_small(png: bytes, height: int | None, path: Path) -> None:
    """Write a picture with 128 colours, cut off below ``height`` pixels."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    if height is not None:
        image = image.crop((0, 0, image.width, min(height, image.height)))
    image.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


async def take_all(staged: StagedProxy, program: str, minutes: float, folder: Path) -> None:
    """Take the first visit's picture before anything is public, and the others after the traffic.

    Example: ``await take_all(staged, "/usr/bin/chromium", 6, FOLDER)``
    """
    async with started_chromium(program) as chromium:
        await take(chromium, staged.url, FIRST_VISIT, folder)
        await asyncio.to_thread(publish_more, staged)
        await asyncio.to_thread(run_traffic, staged, minutes)
        for picture in PICTURES:
            await take(chromium, staged.url, picture, folder)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    arguments.add_argument(
        "--minutes", type=float, default=8, help="of requests before the pictures are taken"
    )
    arguments.add_argument("--into", type=Path, default=FOLDER)
    given = arguments.parse_args()
    program = chromium_program()
    if program is None:
        raise SystemExit(MISSING)
    given.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kvproxy-screenshots-") as folder:
        with staged_proxy(Path(folder), bundled_model(default_cache_dir())) as staged:
            asyncio.run(take_all(staged, program, given.minutes, given.into))


if __name__ == "__main__":
    main()

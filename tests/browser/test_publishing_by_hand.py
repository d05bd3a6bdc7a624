"""Publishing a document in the browser: a file that is uploaded, and a text that is pasted."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Visit
from tests.browser.staged_proxy import rules

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]

_NOTE_PROGRESS = """
new MutationObserver(() => {
  for (const bar of document.querySelectorAll("progress[max]:not([hidden] *)")) {
    window.noteProgress(bar.value, bar.max, bar.closest("form").querySelector("[role=status]").textContent);
  }
}).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
"""


def form_of(page: Page) -> Locator:
    return page.get_by_role("region", name="Publish a document")


async def noted_progress(page: Page) -> list[tuple[int, int, str]]:
    """Return a list that gets each state of the form's progress bar: value, maximum and words."""
    told: list[tuple[int, int, str]] = []
    await page.expose_function("noteProgress", lambda value, most, words: told.append((value, most, words)))
    await page.evaluate(_NOTE_PROGRESS)
    return told


async def test_a_file_is_uploaded_and_its_progress_seen(visit: Visit) -> None:
    page = (await visit("dana", "/ui/documents")).page
    told = await noted_progress(page)
    text = rules("The rules of the library", 40).encode()
    await form_of(page).get_by_label("Id").fill("dana/library")
    await page.get_by_label("Who may read it").select_option(label="my tenant alone (private)")
    await page.get_by_label("A text file, UTF-8").set_input_files(
        {"name": "library.txt", "mimeType": "text/plain", "buffer": text}
    )
    await page.get_by_role("button", name="Publish", exact=True).click()
    done = page.get_by_role("status").filter(has_text=re.compile(r"Published dana/library@1: [\d,]+ tokens"))
    await expect(done).to_be_visible(timeout=120_000)
    await expect(page.get_by_role("heading", level=1)).to_contain_text("dana/library")
    assert any(words.startswith("Sent") for _, _, words in told)
    read = [
        (value, most) for value, most, words in told if re.fullmatch(r"Read [\d,]+ of [\d,]+ tokens.*", words)
    ]
    assert read and read == sorted(read) and all(0 < value <= most for value, most in read)


async def test_a_text_is_pasted_and_listed(visit: Visit) -> None:
    page = (await visit("dana", "/ui/documents")).page
    await form_of(page).get_by_label("Id").fill("dana/notes")
    await page.get_by_label("Or paste the text").fill(rules("Notes of dana", 12))
    await page.get_by_label("Keep it in memory (pin)").check()
    await page.get_by_label("Who may read it").select_option(label="my tenant alone (private)")
    await page.get_by_role("button", name="Publish", exact=True).click()
    await expect(page.get_by_role("status").filter(has_text="Published dana/notes@1")).to_be_visible(
        timeout=120_000
    )
    await page.get_by_role("link", name="Documents", exact=True).first.click()
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="dana/notes"))
    await expect(row).to_contain_text("pinned")
    await expect(row).to_contain_text("private")


async def test_what_is_wrong_with_it_is_said_where_the_form_is(visit: Visit) -> None:
    page = (await visit("dana", "/ui/documents", refused=[(400, "/ui/documents")])).page
    await form_of(page).get_by_label("Id").fill("dana/image")
    await page.get_by_label("A text file, UTF-8").set_input_files(
        {"name": "image.txt", "mimeType": "text/plain", "buffer": b"\x89PNG\xff\xfe"}
    )
    await page.get_by_role("button", name="Publish", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("not a text in UTF-8")
    await expect(form_of(page).get_by_label("Id")).to_have_value("dana/image")
    await expect(page.get_by_role("button", name="Publish", exact=True)).to_be_enabled()

"""The playground in the browser, from the first visit to the comparison of both answers."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Visit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="session")]

PATIENCE_MS = 240_000
"""For a prefill of the bundled example on a slow machine."""

_NOTE_ANSWERS = """
for (const side of ["Cold", "Warm"]) {
  const answer = document.querySelector(`[data-side="${side.toLowerCase()}"] [data-answer]`);
  new MutationObserver(() => window.noteAnswer(side, answer.textContent))
    .observe(answer, { childList: true, characterData: true, subtree: true });
}
"""


def side(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=name)


def milliseconds(text: str) -> float:
    """Return what the page writes as a time, such as "63.6 ms" or "1.71 s"."""
    found = re.search(r"([\d.]+) (ms|s)\b", text)
    assert found is not None, text
    return float(found[1]) * (1 if found[2] == "ms" else 1000)


async def test_the_first_visitor_publishes_the_example_and_sees_both_answers(visit: Visit) -> None:
    page = (await visit("visitor", "/ui")).page
    await expect(page.get_by_role("heading", level=1)).to_have_text("Ask once cold, once warm")
    await expect(page.get_by_role("heading", level=2)).to_have_text("Nothing is published yet")
    await page.get_by_role("button", name="Publish the example").click()
    await expect(page.get_by_role("progressbar", name="Tokens read")).to_be_visible()
    published = page.get_by_role("status").filter(has_text="Published apache-2.0@1")
    await expect(published).to_be_visible(timeout=PATIENCE_MS)
    await asked_and_judged(page)


async def asked_and_judged(page: Page) -> None:
    """Ask the question that is suggested, and compare what both sides show."""
    grown: dict[str, list[str]] = {"Cold": [], "Warm": []}
    await page.expose_function("noteAnswer", lambda side, text: grown[side].append(text))
    await page.evaluate(_NOTE_ANSWERS)
    await expect(page.get_by_label("Question")).not_to_have_value("")
    await page.get_by_label("Answer, tokens at most").fill("12")
    await page.get_by_role("button", name="Ask cold, then warm").click()
    equal = page.get_by_text(re.compile(r"The answers are equal: (\d+) of \1 tokens\."))
    await expect(equal).to_be_visible(timeout=PATIENCE_MS)
    texts = {name: await side(page, name).inner_text() for name in grown}
    times = {name: milliseconds(text) for name, text in texts.items()}
    cached = {
        name: int(found[1].replace(",", ""))
        for name, text in texts.items()
        if (found := re.search(r"([\d,]+) of [\d,]+ tokens", text))
    }
    assert cached["Cold"] == 0 < 2000 < cached["Warm"]
    assert times["Warm"] < times["Cold"]
    ratio = page.get_by_text(re.compile(r"^[\d.]+\u00d7"))
    shown = float((await ratio.first.inner_text()).partition("\u00d7")[0])
    assert shown == pytest.approx(times["Cold"] / times["Warm"], rel=0.1), "rounded as they are shown"
    for name, states in grown.items():
        assert len({text for text in states if text}) > 1, f"the {name} answer comes as a stream"
    assert grown["Cold"][-1] == grown["Warm"][-1]
    await expect(side(page, "Cold").get_by_role("status")).to_have_text(re.compile("^Miss, as asked for"))
    await expect(side(page, "Warm").get_by_role("status")).to_have_text(re.compile("^Hit"))
    await expect(page.get_by_text(re.compile(r"Price: [\d.]+ instead of [\d.]+ USD"))).to_be_visible()


async def test_an_answer_can_be_cancelled(visit: Visit) -> None:
    page = (await visit("acme", "/ui/playground")).page
    await page.get_by_label("Document").select_option("acme/handbook@1")
    await page.get_by_label("Answer, tokens at most").fill("512")
    await page.get_by_role("button", name="Ask cold, then warm").click()
    await page.get_by_role("button", name="Cancel").click()
    await expect(side(page, "Cold").get_by_role("status")).to_have_text("Cancelled")
    await expect(side(page, "Warm").get_by_role("status")).to_have_text("Not asked")
    await expect(page.get_by_role("button", name="Ask cold, then warm")).to_be_enabled()

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.server.dashboard.opened_market import STATE, known, opened_market
from tests.server.markets import BOSS
from tests.server.upkeep_double import OneFault

HTMX = {"HX-Request": "true"}


async def test_tiers_with_their_budgets_and_what_waits(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        page = await market.browser.log_in(BOSS[1], "/ui/store")
        for words in ("Memory", "Local disk", "Object store", "33.3 %", "no limit", "not counted"):
            assert words in page.words, words
        assert "13 pages that wait for the object store" in page.words
        assert "5 pages that made room" in page.words and "1 failed requests" in page.words
        assert "Not checked since this process started" in page.words


async def test_a_check_shows_its_result(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        form = await market.browser.log_in(BOSS[1], "/ui/store")
        upkeep = market.proxy.components.upkeep
        assert isinstance(upkeep, OneFault)
        page = await market.browser.post("/ui/store/check", {"csrf": form.token, "deep": "1"})
        assert "The check found 1 faults" in page.words and "the payload fails its checksum" in page.words
        assert "A deep check" in page.words and "a note" in page.words and upkeep.deep == [True]
        upkeep.faults = ()
        part = await market.browser.post("/ui/store/check", {}, headers={**HTMX, "X-CSRF-Token": form.token})
        assert "<html" not in part.text and "Sound" in part.words and upkeep.deep == [True, False]


async def test_quarantine_names_no_private_document_of_another(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        for document in (
            known(market, "handbook", "acme", "public"),
            known(market, "secret-plan", "acme", "private"),
        ):
            id = document.document.id
            market.proxy.composer.library.add(replace(document, quarantined=f"page 3 of {len(id)} differs"))
        page = await market.browser.log_in(BOSS[1], "/ui/store")
        assert "handbook@1" in page.words and "page 3 of 8 differs" in page.words
        assert "a private document of another tenant" in page.words and "page 3 of 11 differs" in page.words
        assert (
            "secret-plan" not in page.text
            and "since before this process started, or by another one" in page.words
        )


async def test_a_store_without_an_object_store_says_so(tmp_path: Path) -> None:
    async with opened_market(tmp_path, store_state=lambda: replace(STATE, behind=None)) as market:
        page = await market.browser.log_in(BOSS[1], "/ui/store")
        assert "Write-behind none no object store is configured (store.objects)" in page.words


async def test_a_process_without_pages_has_nothing_to_check(tmp_path: Path) -> None:
    async with opened_market(tmp_path, store_state=None, upkeep=None) as market:
        page = await market.browser.log_in(BOSS[1], "/ui/store")
        assert page.status == 200 and "No page store" in page.words
        token = page.token  # of the form that logs out
        answer = await market.browser.post("/ui/store/check", {"csrf": token}, headers=HTMX)
        assert answer.status == 404

from __future__ import annotations

from pathlib import Path

from kvproxy.core.replica_choice import ReplicaResidency
from tests.server.dashboard.opened_market import known, opened_market
from tests.server.markets import ACME, BOSS


async def test_replicas_with_their_health_and_an_empty_library(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        page = await market.browser.log_in(BOSS[1], "/ui/fleet")
        assert "rack1" in page.words and "connection refused" in page.words
        assert "1 of 2" in page.words and "20.0 ms" in page.words and "no events" in page.words
        assert 'data-live="fleet-replicas"' in page.text
        assert "Nothing is published yet." in page.words


async def test_the_share_of_each_document_that_the_admin_may_see(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        known(market, "handbook", "acme", "public")
        known(market, "secret-plan", "acme", "private")
        known(market, "own-notes", "boss", "private")
        held = (ReplicaResidency("rack1", 20, "device", None),)
        market.proxy.backend.replicas = held
        page = await market.browser.log_in(BOSS[1], "/ui/fleet")
        assert "handbook@1" in page.words and "own-notes@1" in page.words
        assert "secret-plan" not in page.text
        assert '<td class="number heat-5">50.0 %</td><td class="number heat-0">0 %</td>' in page.text
        some = await market.browser.get("/ui/fleet?id=note")
        assert "own-notes@1" in some.words and "handbook@1" not in some.words
        none = await market.browser.get("/ui/fleet?id=secret")
        assert "No document that you may see has" in none.words


async def test_others_private_documents_are_said_to_be_there_and_not_named(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        known(market, "secret-plan", "acme", "private")
        page = await market.browser.log_in(BOSS[1], "/ui/fleet")
        assert "other tenants' private ones" in page.words and "secret-plan" not in page.text


async def test_a_proxy_without_a_fleet_says_how_to_have_one(tmp_path: Path) -> None:
    async with opened_market(tmp_path, fleets=tuple) as market:
        page = await market.browser.log_in(BOSS[1], "/ui/fleet")
        assert page.status == 200 and "No fleet" in page.words and "--fleet" in page.words


async def test_nobody_but_an_admin_sees_the_replicas(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        page = await market.browser.log_in(ACME[1], "/ui/fleet")
        assert page.status == 403 and "rack1" not in page.text

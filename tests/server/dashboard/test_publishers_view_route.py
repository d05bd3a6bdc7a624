from __future__ import annotations

from pathlib import Path

from kvproxy.dashboard.views.publishers_view import OTHERS
from tests.server.dashboard.opened_market import opened_market
from tests.server.markets import ACME, BOSS

PERIOD = "from=2026-09-01&to=2027-10-01"


async def test_a_publisher_sees_its_income_and_nobody_elses(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        page = await market.browser.log_in(ACME[1], f"/ui/publishers?{PERIOD}")
        assert "handbook@1" in page.words and "2026-09-21" in page.words
        assert "0.0000003 USD" in page.words, "three reads of 100 nano-units each"
        assert "boss" not in page.words and "All publishers" not in page.words
        other = await market.browser.get(f"/ui/publishers?{PERIOD}&publisher=boss")
        assert other.status == 403
        for path in ("statement", "statement.json"):
            refused = await market.browser.get(f"/ui/publishers/{path}?{PERIOD}&publisher=boss")
            assert refused.status == 403, path
        empty = await market.browser.get("/ui/publishers?from=2026-01-01&to=2026-02-01")
        assert "No document of acme was read" in empty.words
        assert (await market.browser.get("/ui/publishers?from=yesterday")).status == 400
        turned = await market.browser.get("/ui/publishers?from=2026-02-01&to=2026-01-01")
        assert turned.status == 400 and "ends before it begins" in turned.words


async def test_an_admin_sees_every_publisher_without_private_ids(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        page = await market.browser.log_in(BOSS[1], f"/ui/publishers?{PERIOD}&publisher=acme")
        assert "All publishers" in page.words and "acme" in page.words and "0.0000003 USD" in page.words
        assert "handbook" not in page.words and OTHERS in page.words


async def test_without_a_tariff_the_view_says_why_nobody_earns(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        page = await market.browser.log_in(BOSS[1], "/ui/publishers")
        assert "No tariff is set here" in page.words

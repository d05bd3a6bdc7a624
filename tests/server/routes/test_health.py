from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kvproxy.server.market import Market
from tests.server.doubles import client_of, make_proxy


async def test_ready_only_when_a_request_would_be_served() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        assert (await http.get("/health/ready")).status == 200
        proxy.backend.not_ready = "loading the model"
        response = await http.get("/health/ready")
        assert response.status == 503
        assert "loading the model" in (await response.json())["error"]["message"]
        assert (await http.get("/health/live")).status == 200
        proxy.backend.not_ready = None
        proxy.drain.begin()
        response = await http.get("/health/ready")
        assert (response.status, (await response.json())["error"]["code"]) == (503, "shutting_down")
        assert (await http.get("/health/live")).status == 200


async def test_the_lifespan_is_entered_and_left() -> None:
    proxy = make_proxy()
    async with client_of(proxy):
        assert proxy.events == ["start"]
    assert proxy.events == ["start", "stop"]


@dataclass
class Away:
    """The one property of a ledger that health follows from."""

    away: bool


async def test_a_database_that_is_away_makes_it_degraded_and_not_unready() -> None:
    proxy, ledger = make_proxy(), Away(True)
    market: Any = Market(ledger=ledger)  # type: ignore[arg-type]  # a ledger's one property
    proxy.components = replace(proxy.components, market=market)
    async with client_of(proxy) as http:
        for away in (True, False):
            ledger.away = away
            response = await http.get("/health/ready")
            assert response.status == 200
            assert await response.json() == {
                "status": "ready",
                **({"degraded": ["database"]} if away else {}),
            }

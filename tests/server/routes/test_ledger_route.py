"""Usage, balance and credit over HTTP: one's own, with the scope that it needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kvproxy.ledger.ledger import Ledger
from kvproxy.receipts.host_keys import HostKeys
from tests.ledger.made_bookings import booking, hold_request, metered
from tests.server.doubles import Http, client_of, make_proxy
from tests.server.markets import ACME, BOSS, bearer, market_proxy

COST = booking("r").charge.cost


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Ledger, Http]]:
    """A proxy with a ledger, in which boss has read acme's document three times."""
    keys = await asyncio.to_thread(HostKeys.open, folder)
    async with market_proxy(folder, host_keys=keys) as market, client_of(market.proxy) as http:
        ledger = market.ledger
        await ledger.credit("boss", 10**6, "admin", "invoice 1", id="c1")
        for number in range(3):
            hold = await ledger.hold(hold_request(f"request-{number}", tenant="boss"))
            used = metered(cached=20, fresh=5, completion=3, publisher="acme")
            hold.settle(booking(f"request-{number}", used, tenant="boss"))
        yield ledger, http


async def get(http: Http, path: str, key: str = BOSS[1], status: int = 200) -> dict[str, Any]:
    response = await http.get(path, headers=bearer(key))
    assert response.status == status, await response.text()
    answer: dict[str, Any] = await response.json()
    return answer


async def test_ones_own_usage_is_paged(tmp_path: Path) -> None:
    async with served(tmp_path) as (ledger, http):
        first = await get(http, "/kv/v1/usage?limit=2")
        assert [row["id"] for row in first["data"]] == ["credit:c1", "request-0"] and first["has_more"]
        assert first["data"][0]["paid"]["nano"] == -(10**6) and first["data"][0]["reference"] == "invoice 1"
        second = await get(http, f"/kv/v1/usage?after={first['last_seq']}&limit=5")
        assert [row["id"] for row in second["data"]] == ["request-1", "request-2"] and not second["has_more"]
        row = second["data"][0]
        assert row["paid"] == {"nano": COST, "amount": "0.000001", "currency": "USD"}
        assert row["documents"][0] == {
            "document": "handbook@1",
            "publisher": "acme",
            "tokens": 20,
            "price": {"nano": 200, "amount": "0.0000002", "currency": "USD"},
        }
        await ledger.refund("request-1", "cut off")
        refund = (await get(http, f"/kv/v1/usage?after={second['last_seq']}"))["data"]
        assert [(one["refunds"], one["paid"]["nano"]) for one in refund] == [("request-1", -COST)]
        assert (await get(http, "/kv/v1/usage?to=2000-01-01"))["data"] == []
        assert (await get(http, "/kv/v1/usage?limit=0"))["last_seq"] is None


async def test_a_publisher_sees_its_reads_and_not_their_readers(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, http):
        answer = await get(http, "/kv/v1/usage?as=publisher", ACME[1])
        assert [(one["document"], one["tokens"]) for one in answer["data"]] == [("handbook@1", 20)] * 3
        assert len({one["reader"] for one in answer["data"]}) == 1
        assert answer["data"][0]["publisher_share"]["nano"] == 100
        assert "boss" not in str(answer) and "request-" not in str(answer) and "prompt" not in str(answer)
        assert (await get(http, "/kv/v1/usage", ACME[1]))["data"] == []
        assert (await get(http, "/kv/v1/balance", ACME[1]))["earned"]["nano"] == 300


async def test_balance_and_credit(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, http):
        balance = await get(http, "/kv/v1/balance")
        assert (balance["tenant"], balance["balance"]["nano"]) == ("boss", 10**6 - 3 * COST)
        assert balance["credit"]["nano"] == 0 and balance["held"]["nano"] == 0
        for _ in range(2):
            body = {"tenant": "acme", "amount": "1.5", "kind": "promotional", "id": "welcome"}
            response = await http.post("/kv/v1/credit", json=body, headers=bearer(BOSS[1]))
            credited = await response.json()
            assert response.status == 200 and credited["balance"]["amount"] == "1.5"
        response = await http.post("/kv/v1/credit", json={**body, "amount": "2"}, headers=bearer(BOSS[1]))
        assert response.status == 409
        for wrong in (
            {"amount": "x"},
            {"amount": "0"},
            {"amount": "-1"},
            {"tenant": ""},
            {"kind": "payment"},
        ):
            response = await http.post("/kv/v1/credit", json={**body, **wrong}, headers=bearer(BOSS[1]))
            assert response.status == 400, wrong
        refused = await http.post("/kv/v1/credit", json=body, headers=bearer(ACME[1]))
        assert refused.status == 403 and "admin" in await refused.text()


async def test_what_is_wrong_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, http):
        for query in ("as=king", "after=-1", "limit=1001", "limit=x", "from=then"):
            assert (await get(http, f"/kv/v1/usage?{query}", status=400))["error"]["param"] == query.split(
                "="
            )[0]


async def test_a_proxy_without_a_ledger_knows_no_such_url() -> None:
    async with client_of(make_proxy()) as http:
        for path in ("usage", "balance"):
            assert (await http.get(f"/kv/v1/{path}")).status == 404

"""The real ledger behind real answers: nothing blocks the event loop, and both sides count the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.charging.market_charging import MarketCharging, MarketDesks
from kvproxy.charging.repriced_rows import repricer
from kvproxy.core import parse_nano
from kvproxy.database.database import Database
from kvproxy.ledger.ledger_check import check
from kvproxy.ledger.ledger_reading import RowQuery
from kvproxy.pipeline import Pipeline
from kvproxy.served_model import ServedModel
from tests.charging.charged_proxy import SellingComposer
from tests.charging.market_setup import MarketSetup, market_setup
from tests.charging.prices import PLENTY
from tests.server.doubles import Http, Proxy, ask, client_of, eventually, make_proxy

CHAT = "/v1/chat/completions"


@asynccontextmanager
async def selling(database: Database, folder: Path) -> AsyncIterator[tuple[Http, Proxy, MarketSetup]]:
    """A proxy whose one caller, anonymous, has money."""
    opening = market_setup(database, folder)
    setup = await opening.__aenter__()
    proxy = make_proxy()
    composer = proxy.composer = proxy.publisher._characters = SellingComposer()
    desks = MarketDesks(quotes=setup.quotes, receipt_of=setup.receipts.of)
    charging = MarketCharging(setup.ledger, setup.tariffs, setup.terms, desks)
    pipeline = Pipeline(
        models=[ServedModel.of(proxy.backend, composer)],
        misses=proxy.misses,
        default_max_tokens=64,
        charging=charging,
    )
    proxy.components = replace(proxy.components, pipeline=pipeline)
    try:
        async with client_of(proxy) as http:
            yield http, proxy, setup
        await charging.close()
        await setup.ledger.booked()
        faults = await asyncio.to_thread(check, database, repricer(setup.tariffs, setup.terms))
        assert faults == []
    finally:
        await opening.__aexit__(None, None, None)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.open(None, tmp_path)


async def test_the_ledger_agrees_with_what_clients_counted(database: Database, tmp_path: Path) -> None:
    async with selling(database, tmp_path) as (http, _, setup):
        name = "anonymous"
        await setup.ledger.credit(name, PLENTY, "admin", id="c1")
        usages = []
        for number in range(3):
            answer = await http.post(CHAT, json=ask(f"question {number}", n=number + 1))
            usages.append((await answer.json())["usage"])
            body = ask(f"question {number}", stream=True, stream_options={"include_usage": True})
            text = await (await http.post(CHAT, json=body)).text()
            usages.append(json.loads(text.split("data: ")[-2])["usage"])
        rows = await setup.ledger.rows(RowQuery(kinds=("read",)))
        assert [(r.metered.prompt_tokens, r.metered.completion_tokens) for r in rows] == [
            (u["prompt_tokens"], u["completion_tokens"]) for u in usages
        ]
        assert [r.charge.cost for r in rows] == [parse_nano(u["cost"]["cost"]) for u in usages]
        balance = await setup.ledger.balance(name)
        assert (balance.nano, balance.held) == (PLENTY - sum(r.charge.cost for r in rows), 0)


async def test_a_quote_from_a_402_is_honoured_once(database: Database, tmp_path: Path) -> None:
    async with selling(database, tmp_path) as (http, proxy, setup):
        refused = await http.post(CHAT, json=ask())
        quote = (await refused.json())["quote"]
        assert refused.status == 402 and proxy.backend.generations == []
        await setup.ledger.credit("anonymous", PLENTY, "admin", id="c1")
        headers = {"x-kvproxy-quote": quote["jws"]}
        paid = await http.post(CHAT, json=ask(), headers=headers)
        assert paid.status == 200
        assert parse_nano((await paid.json())["usage"]["cost"]["cost"]) <= quote["most"]["nano"]
        assert (await http.post(CHAT, json=ask(), headers=headers)).status == 409
        forged = {"x-kvproxy-quote": quote["jws"][:-4] + "AAAA"}
        assert (await http.post(CHAT, json=ask(), headers=forged)).status in (401, 403)


async def test_a_client_that_leaves_is_a_row_too(database: Database, tmp_path: Path) -> None:
    async with selling(database, tmp_path) as (http, proxy, setup):
        await setup.ledger.credit("anonymous", PLENTY, "admin", id="c1")
        proxy.backend.token_delay_s = 0.02
        proxy.backend.say_next("word " * 500)
        response = await http.post(CHAT, json=ask(stream=True, max_tokens=500))
        await response.content.readuntil(b"\n\n")
        response.close()
        await eventually(lambda: proxy.drain.in_flight == 0)
        (row,) = await setup.ledger.rows(RowQuery(kinds=("read",)))
        assert row.outcome == "left" and row.metered.completion_tokens < 500

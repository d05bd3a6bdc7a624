"""`POST /kv/v1/topup` over HTTP: pympp's and x402's own clients pay it by themselves."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp.test_utils import TestClient, TestServer
from mpp.client.transport import Mpp
from mpp.methods.evm.client import charge
from x402 import x402Client
from x402.http.clients.httpx import x402AsyncTransport
from x402.mechanisms.evm.exact import ExactEvmClientScheme

from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.payments.open_payments import PaymentPlan, open_payments
from kvproxy.payments.payment_registry import Payments
from kvproxy.server.app import build_app
from kvproxy.server.market import Market
from kvproxy.wire.market.topup_types import KvTopup
from tests.payments.conftest import nothing_booked
from tests.payments.paying import ASSET, RECIPIENT, TOKEN, MemoryLedger, mpp_exact, wallet
from tests.server.doubles import client_of, make_proxy

KEYS = (("alice", "key-of-alice-0001"), ("bob", "key-of-bob-000001"))
AUTH = {"Authorization": f"Bearer {KEYS[0][1]}"}


def database_in(folder: Path) -> Database:
    database = Database.open(None, folder)
    METADATA.create_all(database.engine)
    return database


@asynccontextmanager
async def market_of(ledger: MemoryLedger, folder: Path) -> AsyncIterator[str]:
    """A proxy with payments on a port of its own; yields its URL."""
    plan = PaymentPlan(
        methods=("kvbalance", "evm"),
        recipient=RECIPIENT,
        facilitator="local",
        local_wallets={wallet(1).address: 50 * 10**9},
    )
    with await asyncio.to_thread(database_in, folder) as database:
        async with open_payments(
            plan, database, ledger, secret=b"s" * 32, folder=folder, booked=nothing_booked
        ) as payments:
            proxy = make_proxy(api_keys=KEYS)
            app = build_app(replace(proxy.components, market=Market(payments=payments)))
            async with TestClient(TestServer(app)) as http:
                yield str(http.make_url("/kv/v1/topup"))


async def test_pympps_client_pays_by_itself(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    async with market_of(ledger, tmp_path) as url:
        async with Mpp(methods=[charge(currency=TOKEN, account=wallet())]) as client:
            response = await client.fetch(url, method="POST", json={"amount": "2.5"}, headers=AUTH)
        assert response.status_code == 200, response.text
        told: KvTopup = response.json()
        assert told["credited"] == told["balance"] == {"nano": 25 * 10**8, "amount": "2.5", "currency": "USD"}
        receipt = json.loads(base64.urlsafe_b64decode(response.headers["payment-receipt"] + "=="))
        assert receipt["reference"] == told["transaction"]
        assert response.headers["cache-control"] == "private, no-store"
    assert ledger.balance("alice") == 25 * 10**8


async def test_x402s_client_pays_by_itself(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    payer: Any = wallet()
    client = x402Client().register(ASSET.network, ExactEvmClientScheme(payer))
    async with market_of(ledger, tmp_path) as url:
        async with httpx.AsyncClient(transport=x402AsyncTransport(client)) as http:
            response = await http.post(url, json={"amount": "0.25"}, headers=AUTH)
        assert response.status_code == 200, response.text
        answer = json.loads(base64.b64decode(response.headers["payment-response"]))
        assert answer["success"] and answer["transaction"] == response.json()["transaction"]
    assert ledger.balance("alice") == 25 * 10**7


async def test_a_402_says_what_to_do_and_a_replay_is_a_409(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    async with market_of(ledger, tmp_path) as url, httpx.AsyncClient(headers=AUTH) as http:
        asked = await http.post(url, json={"amount": "1"})
        assert asked.status_code == 402 and asked.headers["x-should-retry"] == "false"
        assert asked.headers["www-authenticate"].startswith("Payment ")
        assert asked.headers["payment-required"] and asked.headers["cache-control"] == "no-store"
        assert asked.json()["error"]["code"] == "payment_required"
        assert asked.json()["quote"]["payment"]["x402"]["accepts"][0]["amount"] == "1000000"
        sent = await mpp_exact({"WWW-Authenticate": asked.headers["www-authenticate"]}, wallet())
        paid = await http.post(url, json={"amount": "1"}, headers=sent)
        assert paid.status_code == 200 and "payment-receipt" in paid.headers
        again = await http.post(url, json={"amount": "1"}, headers=sent)
        assert again.status_code == 409 and again.json()["error"]["code"] == "already_used"
        other = await http.post(
            url, json={"amount": "1"}, headers={**sent, "Authorization": f"Bearer {KEYS[1][1]}"}
        )
        assert other.status_code == 409
    assert ledger.balance("alice") == 10**9 and ledger.balance("bob") == 0


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "amount"),
        ({"amount": 5}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1e9"}, "amount"),
        ({"amount": "100000"}, "amount"),
        ({"amount": "0.001"}, "amount"),
    ],
)
async def test_a_wrong_amount(tmp_path: Path, body: dict[str, object], param: str) -> None:
    async with market_of(MemoryLedger(), tmp_path) as url, httpx.AsyncClient(headers=AUTH) as http:
        response = await http.post(url, json=body)
        assert response.status_code == 400 and response.json()["error"]["param"] == param


async def test_without_a_key_and_without_payments(tmp_path: Path) -> None:
    async with market_of(MemoryLedger(), tmp_path) as url, httpx.AsyncClient() as http:
        assert (await http.post(url, json={"amount": "1"})).status_code == 401
    proxy = make_proxy()
    async with client_of(proxy) as there:
        assert (await there.post("/kv/v1/topup", json={"amount": "1"})).status == 404
    market = replace(proxy.components, market=Market(payments=Payments()))
    async with TestClient(TestServer(build_app(market))) as bare:
        response = await bare.post("/kv/v1/topup", json={"amount": "1"})
        assert response.status == 403
        assert "kvproxy ledger credit" in (await response.json())["error"]["message"]

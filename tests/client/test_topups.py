"""`Client.topup` over a real server of payments, and what it does with answers that are none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from kvproxy.client import Client, PaymentAsked, RequestFailed, payment_asked
from kvproxy.client.evm_payer import EvmPayer
from kvproxy.errors import PaymentRequired
from tests.payments.paying import MemoryLedger, wallet
from tests.server.routes.test_topup_route import KEYS, market_of


class Penniless:
    """A payer that is asked and does not pay."""

    def pay(self, asked: PaymentAsked) -> Mapping[str, str]:
        assert asked.amount == "2" and asked.quote is not None
        return {}


async def test_a_topup_by_the_client(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    async with market_of(ledger, tmp_path) as url:
        with Client(url.removesuffix("/kv/v1/topup"), KEYS[0][1]) as client:
            payer = EvmPayer(wallet().key, most="2")
            done = await asyncio.to_thread(client.topup, "2", payer)
            assert done["credited"]["amount"] == "2" and done["balance"]["amount"] == "2"
            with pytest.raises(RequestFailed, match="no payment that this wallet may make"):
                await asyncio.to_thread(client.topup, "2.01", payer)
            with pytest.raises(RequestFailed) as refused:
                await asyncio.to_thread(client.topup, "2", Penniless())
            assert refused.value.kind is PaymentRequired
    assert ledger.balance("alice") == 2 * 10**9


def answering(*answers: httpx.Response) -> Client:
    left = list(answers)
    return Client("http://host.test", transport=httpx.MockTransport(lambda request: left.pop(0)))


def test_an_answer_that_asks_for_nothing() -> None:
    with answering(httpx.Response(403, json={"error": {"message": "no"}})) as client:
        with pytest.raises(RequestFailed, match="no"):
            client.topup("2", Penniless())
    asked = payment_asked(httpx.Response(402, text="<html>", request=httpx.Request("POST", "http://x.test")))
    assert asked.quote is None and asked.url == "http://x.test"


def test_a_paid_answer_that_is_no_object() -> None:
    asked = httpx.Response(402, json={"quote": {}})
    with answering(asked, httpx.Response(200, json=[])) as client:
        with pytest.raises(RequestFailed, match="look at your balance"):
            client.topup("2", Penniless())

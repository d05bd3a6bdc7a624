"""`EvmPayer` signs for its own token, chain and cap, and for nothing else."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from kvproxy.client import PaymentAsked, RequestFailed
from kvproxy.client.evm_payer import EvmPayer
from kvproxy.payments.payment_demand import PaymentDemand
from kvproxy.payments.payment_registry import Payments
from tests.payments.conftest import database, ledger, payments
from tests.payments.paying import ASSET, MemoryLedger, wallet

__all__ = ["database", "ledger", "payments"]

READ = PaymentDemand("alice", 2_000_000, "USD", "")


def asked_of(headers: dict[str, str]) -> PaymentAsked:
    return PaymentAsked("", "http://host.test/v1", {k.lower(): v for k, v in headers.items()}, None)


async def test_an_authorisation_that_is_accepted(payments: Payments, ledger: MemoryLedger) -> None:
    payer = EvmPayer(wallet().key, most="0.002")
    signed = payer.authorise(asked_of(dict(await payments.challenge(READ))))
    authorisation = await payments.authorise(signed, READ.nano, READ)
    assert authorisation is not None
    await authorisation.settle(1_000_000)
    assert ledger.balance("alice") == 1_000_000
    assert payer.address == wallet().address


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "2001"},
        {"amount": "-1"},
        {"network": "eip155:8453"},
        {"asset": wallet(3).address},
        {"scheme": "exact"},
    ],
)
def test_what_the_wallet_refuses(change: dict[str, str]) -> None:
    accepted: dict[str, Any] = {
        "scheme": "upto",
        "network": ASSET.network,
        "asset": ASSET.address,
        "amount": "2000",
        **change,
    }
    header = base64.b64encode(json.dumps({"accepts": [accepted]}).encode()).decode()
    payer = EvmPayer(wallet().key, most="0.002")
    with pytest.raises(RequestFailed, match="this wallet may give"):
        payer.authorise(asked_of({"payment-required": header}))


@pytest.mark.parametrize("header", ["", "!", "bm90IGpzb24=", "W10="])
def test_a_header_that_cannot_be_read(header: str) -> None:
    payer = EvmPayer(wallet().key)
    with pytest.raises(RequestFailed, match="this wallet may give"):
        payer.authorise(asked_of({"payment-required": header}))
    with pytest.raises(RequestFailed, match="this wallet may make"):
        payer.pay(asked_of({"www-authenticate": f"Payment {header}"}))

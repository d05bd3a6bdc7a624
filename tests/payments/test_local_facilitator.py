"""The local facilitator checks what a real one checks, takes a nonce once, and keeps its file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from mpp.methods.evm._eip3009 import authorization_domain, sign_authorization

from kvproxy.payments.local_facilitator import LocalFacilitator
from tests.payments.paying import ASSET, RECIPIENT, wallet


def exact(payer: LocalAccount, units: int = 1000, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A signed EIP-3009 payment and the requirements that it answers; ``changes`` come before the signature."""
    signed = {
        "from": payer.address,
        "to": RECIPIENT,
        "value": str(units),
        "validAfter": "0",
        "validBefore": str(int(time.time()) + 300),
        "nonce": "0x" + "ab" * 32,
        **changes,
    }
    domain = authorization_domain(
        name=ASSET.name, version=ASSET.version, chain_id=ASSET.chain_id, currency=ASSET.address
    )
    requirements = {
        "scheme": "exact",
        "network": ASSET.network,
        "asset": ASSET.address,
        "amount": str(units),
        "payTo": RECIPIENT,
        "maxTimeoutSeconds": 300,
        "extra": {"name": ASSET.name, "version": ASSET.version},
    }
    payload = {"authorization": signed, "signature": sign_authorization(payer, domain=domain, payload=signed)}
    return {"x402Version": 2, "accepted": requirements, "payload": payload}, requirements


async def test_it_takes_a_payment_once(facilitator: LocalFacilitator) -> None:
    payment, requirements = exact(wallet())
    assert (await facilitator.verify(payment, requirements))["isValid"] is True
    assert facilitator.chain.balance(RECIPIENT) == 0
    settled = await facilitator.settle(payment, requirements)
    assert settled["success"] is True
    assert facilitator.chain.balance(RECIPIENT) == 1000
    assert facilitator.chain.balance(wallet().address) == 5_000_000 - 1000
    verified = await facilitator.verify(payment, requirements)
    assert verified["isValid"] is False and verified["invalidReason"].endswith("nonce_already_used")
    again = await facilitator.settle(payment, requirements)
    assert again["success"] is False and again["transaction"] == settled["transaction"]
    assert facilitator.chain.balance(RECIPIENT) == 1000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"to": wallet(3).address}, "recipient_mismatch"),
        ({"value": "999"}, "value"),
        ({"validBefore": "1"}, "valid_before"),
        ({"validAfter": "99999999999"}, "valid_after"),
        ({"from": wallet(3).address}, "invalid"),
        ({"value": "9000000"}, "value"),
    ],
)
async def test_what_it_refuses(facilitator: LocalFacilitator, changes: dict[str, Any], reason: str) -> None:
    payment, requirements = exact(wallet(), **changes)
    refused = await facilitator.verify(payment, requirements)
    assert refused["isValid"] is False and reason in refused["invalidReason"]
    assert (await facilitator.settle(payment, requirements))["success"] is False
    assert facilitator.chain.balance(RECIPIENT) == 0


async def test_more_than_the_wallet_has(facilitator: LocalFacilitator) -> None:
    payment, requirements = exact(wallet(), 5_000_001)
    assert "balance" in (await facilitator.verify(payment, requirements))["invalidReason"]
    assert "balance" in (await facilitator.settle(payment, requirements))["errorReason"]


@pytest.mark.parametrize("field", ["signature", "nonce", "domain"])
async def test_a_forgery(facilitator: LocalFacilitator, field: str) -> None:
    payment, requirements = exact(wallet())
    if field == "signature":
        payment["payload"]["signature"] = "0x" + "11" * 64 + "1b"
    elif field == "nonce":
        payment["payload"]["authorization"]["nonce"] = "0x" + "cd" * 32
    else:
        requirements["extra"]["name"] = "Another Coin"
    assert (await facilitator.verify(payment, requirements))["isValid"] is False
    assert (await facilitator.settle(payment, requirements))["success"] is False


@pytest.mark.parametrize("payment", [{}, {"payload": []}, {"x402Version": 2, "payload": {}, "accepted": {}}])
async def test_nonsense(facilitator: LocalFacilitator, payment: dict[str, Any]) -> None:
    _, requirements = exact(wallet())
    assert (await facilitator.verify(payment, requirements))["isValid"] is False
    assert (await facilitator.settle(payment, requirements))["success"] is False
    assert (await facilitator.settle(payment, {}))["success"] is False


async def test_its_kinds(facilitator: LocalFacilitator) -> None:
    kinds = (await facilitator.supported())["kinds"]
    assert {(kind["scheme"], kind["network"]) for kind in kinds} == {
        ("exact", ASSET.network),
        ("upto", ASSET.network),
    }


def test_a_file_outlives_it(tmp_path: Path) -> None:
    file = tmp_path / "facilitator.json"
    payment, requirements = exact(wallet())
    first = LocalFacilitator(ASSET, {wallet().address: 5000}, file)
    assert first.settle_now(payment, requirements)["success"] is True
    second = LocalFacilitator(ASSET, {wallet().address: 5000}, file)
    assert second.chain.balance(RECIPIENT) == 1000
    assert second.settle_now(payment, requirements)["success"] is False

"""Exact amounts: what binds a signature to its challenge, in both dialects."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from mpp import Credential

from kvproxy.errors import PaymentRequired
from kvproxy.payments.payment_demand import PaymentDemand
from kvproxy.payments.payment_headers import header_json
from kvproxy.payments.payment_registry import Payments
from tests.payments.paying import URL, MemoryLedger, mpp_exact, signed_payload, wallet

TOPUP = PaymentDemand("alice", 1_234_567_891, "USD", URL)


async def challenged(payments: Payments, demand: PaymentDemand = TOPUP) -> dict[str, str]:
    return dict(await payments.challenge(demand))


async def test_the_rest_of_a_unit_is_credited_too(payments: Payments, ledger: MemoryLedger) -> None:
    done = await payments.topup(await mpp_exact(await challenged(payments), wallet()), TOPUP)
    assert done.nano == done.balance == ledger.balance("alice") == 1_234_568_000


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("payload", "signature"), "0x" + "22" * 65, "signature"),
        (("payload", "authorization", "nonce"), "0x" + "22" * 32, "signature"),
        (("payload", "authorization", "value"), "1", "amount"),
        (("payload", "authorization", "to"), wallet(3).address, "recipient"),
        (("payload", "authorization", "validBefore"), "1", "expired"),
        (("payload", "authorization", "validBefore"), str(2**40), "too long"),
        (("payload", "authorization", "validAfter"), str(2**40), "not valid yet"),
        (("accepted", "amount"), "1", "does not match"),
        (("resource", "url"), "http://other.test/", "resource"),
    ],
)
async def test_a_changed_payment_by_x402(
    payments: Payments, ledger: MemoryLedger, place: tuple[str, ...], value: str, reason: str
) -> None:
    sent = signed_payload(await challenged(payments), wallet(), "exact")
    inner: Any = sent
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    with pytest.raises(PaymentRequired, match=reason):
        await payments.topup({"PAYMENT-SIGNATURE": header_json(sent)}, TOPUP)
    assert ledger.credits == {}


@pytest.mark.parametrize("field", ["expires", "realm", "request"])
async def test_a_changed_challenge_by_mpp(payments: Payments, ledger: MemoryLedger, field: str) -> None:
    signed = await mpp_exact(await challenged(payments), wallet())
    credential = Credential.from_authorization(signed["Payment-Authorization"])
    request = base64.urlsafe_b64encode(json.dumps({"amount": "1"}).encode()).decode().rstrip("=")
    changed = {"expires": "2999-01-01T00:00:00Z", "realm": "other", "request": request}[field]
    forged = replace(credential, challenge=replace(credential.challenge, **{field: changed}))
    with pytest.raises(PaymentRequired):
        await payments.topup({"Payment-Authorization": forged.to_authorization()}, TOPUP)
    assert ledger.credits == {}


async def test_a_challenge_of_another_address(payments: Payments, ledger: MemoryLedger) -> None:
    elsewhere = replace(TOPUP, url="http://host.test/v1/chat/completions")
    credential = await mpp_exact(await challenged(payments, elsewhere), wallet())
    with pytest.raises(PaymentRequired, match="does not match this route"):
        await payments.topup(credential, TOPUP)
    assert ledger.credits == {}

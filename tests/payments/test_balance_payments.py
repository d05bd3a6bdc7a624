"""`kvbalance`: challenge, consent and receipt, offline."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from mpp import Credential

from kvproxy.errors import AlreadyUsed, PaymentRequired
from kvproxy.payments.payment_demand import PaymentDemand
from kvproxy.payments.payment_registry import Payments
from tests.payments.paying import MemoryLedger, challenges

READ = PaymentDemand("alice", 377_001, "USD", "")


async def consent(payments: Payments, account: str = "alice") -> dict[str, str]:
    challenge = challenges(await payments.challenge(READ))["kvbalance/charge"]
    assert {
        "amount": "0.000377001",
        "currency": "USD",
        "account": "alice",
    }.items() <= challenge.request.items()
    credential = Credential(challenge=challenge.to_echo(), payload={"account": account})
    return {"payment-authorization": credential.to_authorization()}


async def test_consent_receipt_and_replay(payments: Payments, ledger: MemoryLedger) -> None:
    credential = await consent(payments)
    authorisation = await payments.authorise(credential, READ.nano, READ)
    assert authorisation is not None and authorisation.covers == 0
    settled = await authorisation.settle(100)
    receipt = json.loads(base64.urlsafe_b64decode(settled.headers["Payment-Receipt"] + "=="))
    assert (receipt["method"], receipt["reference"]) == ("kvbalance", authorisation.payment)
    assert ledger.credits == {}  # nothing came from outside
    with pytest.raises(AlreadyUsed, match="used before"):
        await payments.authorise(credential, READ.nano, READ)


async def test_released_consent_may_be_used_again(payments: Payments) -> None:
    credential = await consent(payments)
    for _ in range(2):
        authorisation = await payments.authorise(credential, READ.nano, READ)
        assert authorisation is not None
        await authorisation.release()


async def test_another_account_another_price_and_another_tenant(payments: Payments) -> None:
    with pytest.raises(PaymentRequired, match="the balance is that of 'alice'"):
        await payments.authorise(await consent(payments, "bob"), READ.nano, READ)
    credential = await consent(payments)
    for demand in (replace(READ, nano=READ.nano + 1), replace(READ, tenant="bob")):
        with pytest.raises(PaymentRequired, match="does not match this route"):
            await payments.authorise(credential, demand.nano, demand)


async def test_a_forged_challenge(payments: Payments) -> None:
    challenge = challenges(await payments.challenge(READ))["kvbalance/charge"]
    echo = replace(challenge.to_echo(), expires="2999-01-01T00:00:00Z")
    credential = Credential(challenge=echo, payload={"account": "alice"}).to_authorization()
    with pytest.raises(PaymentRequired, match="not issued by this server"):
        await payments.authorise({"payment-authorization": credential}, READ.nano, READ)

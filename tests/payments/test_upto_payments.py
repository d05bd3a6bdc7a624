"""Authorised at the miss price, settled at the hit price, nothing on failure; in both dialects."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from mpp import Credential

from kvproxy.errors import AlreadyUsed, PaymentRequired
from kvproxy.payments.payment_demand import PaymentDemand
from kvproxy.payments.payment_headers import header_json
from kvproxy.payments.payment_registry import Payments
from kvproxy.payments.payment_rows import PaymentRows
from tests.payments.paying import ASSET, MemoryLedger, challenges, signed_payload, wallet, x402_answer

MISS = PaymentDemand("alice", 40_000_500, "USD", "")
HIT = 3_000_001


async def mpp_upto(payments: Payments, payer: Any = None) -> dict[str, str]:
    """MPP's credential of the intent upto: the echo of the challenge, and what x402's client signs."""
    headers = await payments.challenge(MISS)
    payload = signed_payload(headers, payer or wallet(), "upto")["payload"]
    credential = Credential(challenge=challenges(headers)["evm/upto"].to_echo(), payload=payload)
    return {"Payment-Authorization": credential.to_authorization()}


@pytest.mark.parametrize("dialect", ["x402", "mpp"])
async def test_the_hit_price_is_settled(
    payments: Payments, ledger: MemoryLedger, rows: PaymentRows, dialect: str
) -> None:
    if dialect == "mpp":
        credential = await mpp_upto(payments)
    else:
        credential = x402_answer(await payments.challenge(MISS), wallet(), "upto")
    authorisation = await payments.authorise(credential, MISS.nano, MISS)
    assert authorisation is not None and authorisation.covers == 40_001_000
    assert ledger.credits == {}
    settled = await authorisation.settle(HIT)
    # Rounded up to 3001 units: 999 nano-units more than the price, which the ledger leaves in the balance.
    assert settled.nano == ASSET.nano_of(3001) == ledger.balance("alice")
    assert (await authorisation.settle(HIT)).reference == settled.reference
    await authorisation.release()
    row = rows.find(authorisation.payment).row
    assert row is not None and (row.state, row.units, row.reference) == ("credited", 3001, settled.reference)
    if dialect == "mpp":
        receipt = json.loads(base64.urlsafe_b64decode(settled.headers["Payment-Receipt"] + "=="))
        assert receipt["reference"] == settled.reference
    else:
        answer = json.loads(base64.b64decode(settled.headers["PAYMENT-RESPONSE"]))
        assert (answer["amount"], answer["transaction"]) == ("3001", settled.reference)


async def test_a_failure_takes_nothing_and_the_signature_may_be_used_again(
    payments: Payments, ledger: MemoryLedger
) -> None:
    credential = x402_answer(await payments.challenge(MISS), wallet(), "upto")
    failed = await payments.authorise(credential, MISS.nano, MISS)
    assert failed is not None
    with pytest.raises(AlreadyUsed, match="holds for another request"):
        await payments.authorise(credential, MISS.nano, MISS)
    await failed.release()
    assert ledger.credits == {}
    again = await payments.authorise(credential, MISS.nano, MISS)
    assert again is not None
    await again.settle(HIT)
    with pytest.raises(AlreadyUsed, match="credited before"):
        await payments.authorise(credential, MISS.nano, MISS)


async def test_too_small_for_the_request(payments: Payments) -> None:
    credential = x402_answer(await payments.challenge(MISS), wallet(), "upto")
    with pytest.raises(PaymentRequired, match="the request may cost 80001"):
        await payments.authorise(credential, MISS.nano * 2, MISS)


async def test_a_wallet_without_money(payments: Payments, rows: PaymentRows) -> None:
    credential = x402_answer(await payments.challenge(MISS), wallet(2), "upto")
    with pytest.raises(PaymentRequired, match=r"refused the payment: .*balance"):
        await payments.authorise(credential, MISS.nano, MISS)
    assert not rows.unfinished(("authorised",), 2**62)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("payload", "signature"), "0x" + "11" * 65),
        (("payload", "permit2Authorization", "witness", "to"), wallet(3).address),
        (("payload", "permit2Authorization", "permitted", "amount"), "99999999"),
        (("payload", "permit2Authorization", "permitted", "amount"), "-1"),
        (("payload", "permit2Authorization", "permitted", "token"), wallet(3).address),
        (("payload", "permit2Authorization", "from"), wallet(3).address),
        (("payload", "permit2Authorization", "from"), "alice"),
        (("payload", "permit2Authorization", "nonce"), "7"),
        (("payload", "permit2Authorization", "deadline"), "1"),
        (("payload", "permit2Authorization"), "signed"),
        (("payload",), []),
        (("accepted", "payTo"), wallet(3).address),
        (("accepted", "network"), "eip155:1"),
    ],
)
async def test_a_forgery_is_refused_and_nothing_is_written(
    payments: Payments, rows: PaymentRows, ledger: MemoryLedger, place: tuple[str, ...], value: object
) -> None:
    sent = signed_payload(await payments.challenge(MISS), wallet(), "upto")
    inner: Any = sent
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    with pytest.raises(PaymentRequired):
        await payments.authorise({"payment-signature": header_json(sent)}, MISS.nano, MISS)
    assert ledger.credits == {} and not rows.unfinished(("authorised",), 2**62)


async def test_a_challenge_of_another_price_is_refused(payments: Payments) -> None:
    credential = await mpp_upto(payments)
    other = replace(MISS, nano=MISS.nano // 2)
    with pytest.raises(PaymentRequired, match="does not match this route"):
        await payments.authorise(credential, other.nano, other)

"""The whole of payments: both dialects' own clients against the configured methods."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace

import pytest

from kvproxy.errors import AlreadyUsed, InvalidRequest, PaymentRequired, PermissionDenied
from kvproxy.payments.payment_demand import PaymentDemand
from kvproxy.payments.payment_registry import Payments
from tests.payments.paying import (
    ASSET,
    RECIPIENT,
    URL,
    MemoryLedger,
    challenges,
    mpp_exact,
    requirements,
    wallet,
    x402_answer,
    x402_of,
)

TOPUP = PaymentDemand("alice", 2 * 10**9, "USD", URL)
READ = PaymentDemand("alice", 377_001, "USD", "")


async def asked(payments: Payments, demand: PaymentDemand = TOPUP) -> dict[str, str]:
    with pytest.raises(PaymentRequired) as refused:
        await payments.topup({}, demand)
    assert refused.value.quote is not None and refused.value.quote["payment"]["mpp"]
    return refused.value.headers


async def test_a_topup_by_mpp(payments: Payments, ledger: MemoryLedger) -> None:
    headers = await asked(payments)
    assert challenges(headers)["evm/charge"].credential_header == "Payment-Authorization"
    paid = await payments.topup(await mpp_exact(headers, wallet()), TOPUP)
    assert ledger.balance("alice") == 2 * 10**9 == paid.nano
    receipt = json.loads(base64.urlsafe_b64decode(paid.headers["Payment-Receipt"] + "=="))
    assert receipt["reference"] == paid.reference and receipt["status"] == "success"
    assert "PAYMENT-RESPONSE" not in paid.headers


async def test_a_topup_by_x402(payments: Payments, ledger: MemoryLedger) -> None:
    headers = await asked(payments)
    assert requirements(headers)["exact"]["payTo"] == RECIPIENT
    paid = await payments.topup(x402_answer(headers, wallet(), "exact"), TOPUP)
    assert ledger.balance("alice") == 2 * 10**9
    answer = json.loads(base64.b64decode(paid.headers["PAYMENT-RESPONSE"]))
    assert answer["transaction"] == paid.reference and answer["payer"] == wallet().address


async def test_two_at_once_and_a_retry_credit_once(payments: Payments, ledger: MemoryLedger) -> None:
    credential = x402_answer(await asked(payments), wallet(), "exact")
    outcomes = await asyncio.gather(
        *(payments.topup(credential, TOPUP) for _ in range(4)), return_exceptions=True
    )
    refused = [one for one in outcomes if isinstance(one, BaseException)]
    assert len(refused) == 3 and all(isinstance(one, AlreadyUsed | PaymentRequired) for one in refused)
    with pytest.raises(AlreadyUsed, match="credited before"):
        await payments.topup(credential, TOPUP)
    assert ledger.balance("alice") == 2 * 10**9 and len(ledger.credits) == 1


async def test_a_replay_by_mpp_is_refused(payments: Payments, ledger: MemoryLedger) -> None:
    credential = await mpp_exact(await asked(payments), wallet())
    await payments.topup(credential, TOPUP)
    with pytest.raises(AlreadyUsed, match="Ask for a new challenge"):
        await payments.topup(credential, TOPUP)
    assert ledger.balance("alice") == 2 * 10**9


async def test_another_amount_is_refused(payments: Payments, ledger: MemoryLedger) -> None:
    small = await asked(payments, replace(TOPUP, nano=10**8))
    for credential in (await mpp_exact(small, wallet()), x402_answer(small, wallet(), "exact")):
        with pytest.raises(PaymentRequired, match="Nothing was taken"):
            await payments.topup(credential, TOPUP)
    assert ledger.credits == {}


async def test_a_wallet_without_money_is_refused(payments: Payments, ledger: MemoryLedger) -> None:
    credential = await mpp_exact(await asked(payments), wallet(2))
    with pytest.raises(PaymentRequired, match="insufficient_balance"):
        await payments.topup(credential, TOPUP)
    assert ledger.credits == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"Payment-Authorization": "Payment nonsense"},
        {"Payment-Authorization": "Payment " + base64.urlsafe_b64encode(b"[1]").decode()},
        {"PAYMENT-SIGNATURE": "no base64 at all"},
        {"PAYMENT-SIGNATURE": base64.b64encode(b"[]").decode()},
        {"PAYMENT-SIGNATURE": base64.b64encode(b'{"accepted": {"scheme": "exact"}}').decode()},
        {"PAYMENT-SIGNATURE": base64.b64encode(b'{"accepted": {"scheme": "upto"}}').decode()},
        {"PAYMENT-SIGNATURE": base64.b64encode(b'{"accepted": {"scheme": "another"}}').decode()},
        {"PAYMENT-SIGNATURE": "A" * 40_000},
    ],
)
async def test_nonsense_is_a_402(payments: Payments, ledger: MemoryLedger, headers: dict[str, str]) -> None:
    with pytest.raises(PaymentRequired):
        await payments.authorise(headers, READ.nano, READ)
    assert ledger.credits == {}


async def test_no_credential_is_no_authorisation(payments: Payments) -> None:
    assert await payments.authorise({"Authorization": "Bearer key"}, READ.nano, READ) is None


async def test_a_request_is_offered_in_both_dialects(payments: Payments) -> None:
    headers = await payments.challenge(READ)
    assert set(challenges(headers)) == {"kvbalance/charge", "evm/charge", "evm/upto"}
    assert set(requirements(headers)) == {"exact", "upto"}
    assert {one["amount"] for one in requirements(headers).values()} == {"378"}  # 377.001 units, rounded up
    assert x402_of(headers)["resource"] == {"url": "http://127.0.0.1:8321/v1"}
    assert headers["Cache-Control"] == "no-store"


async def test_the_quote_object_carries_both_dialects(payments: Payments) -> None:
    error = await payments.required(READ, "The balance is 0 USD.", {"id": "q_1"})
    assert error.quote is not None and error.quote["id"] == "q_1"
    assert len(error.quote["payment"]["mpp"]) == 3
    assert error.quote["payment"]["x402"] == x402_of(error.headers)
    assert "POST /kv/v1/topup" in error.message


async def test_an_exact_payment_of_a_request_stays_in_the_balance(
    payments: Payments, ledger: MemoryLedger
) -> None:
    credential = await mpp_exact(await payments.challenge(READ), wallet())
    authorisation = await payments.authorise(credential, READ.nano, READ)
    assert authorisation is not None and authorisation.covers == 0
    await authorisation.release()
    assert ledger.balance("alice") == ASSET.nano_of(378)


async def test_limits_of_topups(payments: Payments) -> None:
    for nano in (1, 10**12):
        with pytest.raises(InvalidRequest, match=r"at least 0\.01 USD and at most 100 USD"):
            await payments.topup({}, replace(TOPUP, nano=nano))


async def test_without_methods_it_says_what_to_do() -> None:
    none = Payments()
    assert await none.challenge(READ) == {}
    assert await none.authorise({}, READ.nano, READ) is None
    with pytest.raises(PaymentRequired, match="for no method of this host"):
        await none.authorise({"PAYMENT-SIGNATURE": "e30="}, READ.nano, READ)
    error = await none.required(READ, "The balance is 0 USD.")
    assert error.quote is None and "kvproxy ledger credit alice AMOUNT" in error.message
    with pytest.raises(PermissionDenied, match="kvproxy ledger credit alice"):
        await none.topup({}, TOPUP)

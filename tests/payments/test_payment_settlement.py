"""Exactly once: a process that dies between any two steps, an unclear facilitator, and retries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kvproxy.database.database import Database
from kvproxy.errors import AlreadyUsed, PaymentRequired, Unavailable
from kvproxy.payments.exact_payments import ExactPayments
from kvproxy.payments.facilitator_client import Facilitator, FacilitatorUnclear, Json
from kvproxy.payments.local_facilitator import LocalFacilitator
from kvproxy.payments.payment_demand import PaymentDemand
from kvproxy.payments.payment_headers import offer_headers
from kvproxy.payments.payment_rows import PaymentRows
from kvproxy.payments.payment_settlement import PaymentSettlement
from kvproxy.payments.upto_payments import UptoPayments
from tests.payments.conftest import nothing_booked
from tests.payments.paying import ASSET, RECIPIENT, URL, MemoryLedger, mpp_exact, wallet, x402_answer

TOPUP = PaymentDemand("alice", 10**9, "USD", URL)


class ProcessDied(BaseException):
    """Ends everything that a request was doing, as a kill does."""


class DyingFacilitator:
    """The local facilitator; the process dies before or after a settlement."""

    def __init__(self, inner: LocalFacilitator, when: str) -> None:
        self._inner = inner
        self._when = when

    async def verify(self, payment: Json, requirements: Json) -> Json:
        return await self._inner.verify(payment, requirements)

    async def settle(self, payment: Json, requirements: Json) -> Json:
        if self._when == "before":
            raise ProcessDied
        answer = await self._inner.settle(payment, requirements)
        if self._when == "after":
            raise ProcessDied
        if self._when == "unclear":
            raise FacilitatorUnclear("the answer got lost")
        return answer

    async def supported(self) -> Json:
        return await self._inner.supported()


def methods(
    facilitator: Facilitator, rows: PaymentRows, ledger: MemoryLedger
) -> tuple[ExactPayments, UptoPayments, PaymentSettlement]:
    settlement = PaymentSettlement(rows, facilitator, ledger, ASSET)
    exact = ExactPayments(settlement, ASSET, RECIPIENT, realm="kvproxy", secret="s" * 32)
    upto = UptoPayments(
        settlement, facilitator, ASSET, RECIPIENT, realm="kvproxy", secret="s" * 32, longest_s=600
    )
    return exact, upto, settlement


async def answered(method: ExactPayments | UptoPayments, dialect: str) -> Mapping[str, str]:
    headers = offer_headers([await method.quote(TOPUP)], TOPUP.url, "pay")
    if dialect == "mpp":
        return await mpp_exact(headers, wallet())
    return x402_answer(headers, wallet(), "exact" if isinstance(method, ExactPayments) else "upto")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("dialect", ["mpp", "x402"])
async def test_a_death_around_the_facilitator(
    rows: PaymentRows, facilitator: LocalFacilitator, ledger: MemoryLedger, when: str, dialect: str
) -> None:
    exact, _, _ = methods(DyingFacilitator(facilitator, when), rows, ledger)
    credential = await answered(exact, dialect)
    with pytest.raises(ProcessDied):
        await exact.authorise(credential, TOPUP)
    assert ledger.credits == {}
    exact, _, settlement = methods(facilitator, rows, ledger)  # the next start
    assert await settlement.finish(nothing_booked) == 0
    assert ledger.balance("alice") == 10**9
    assert facilitator.chain.balance(RECIPIENT) == 1_000_000
    assert await settlement.finish(nothing_booked) == 0
    with pytest.raises(AlreadyUsed, match="credited before"):
        await exact.authorise(credential, TOPUP)
    assert ledger.balance("alice") == 10**9 and facilitator.chain.balance(RECIPIENT) == 1_000_000


async def test_a_death_between_settlement_and_credit(
    rows: PaymentRows, facilitator: LocalFacilitator, ledger: MemoryLedger
) -> None:
    exact, _, settlement = methods(facilitator, rows, ledger)
    ledger.fail = 1
    with pytest.raises(ConnectionError):
        await exact.authorise(await answered(exact, "x402"), TOPUP)
    [row] = rows.unfinished(("settled",), 2**62)
    assert row.reference and ledger.credits == {}
    assert await settlement.finish(nothing_booked) == 0
    assert ledger.credits == {row.id: ("alice", 10**9, row.reference)}


async def test_an_unclear_answer_is_finished_later(
    rows: PaymentRows, facilitator: LocalFacilitator, ledger: MemoryLedger
) -> None:
    exact, _, _ = methods(DyingFacilitator(facilitator, "unclear"), rows, ledger)
    credential = await answered(exact, "x402")
    with pytest.raises(Unavailable, match="look at your balance before you pay again"):
        await exact.authorise(credential, TOPUP)
    exact, _, settlement = methods(facilitator, rows, ledger)
    with pytest.raises(AlreadyUsed, match="is being settled"):
        await exact.authorise(credential, TOPUP)
    assert await settlement.finish(nothing_booked, older_than_ms=60_000) == 0
    assert ledger.credits == {}  # too young: another process may be at it
    assert await settlement.finish(nothing_booked) == 0
    assert ledger.balance("alice") == 10**9


class SilentFacilitator(DyingFacilitator):
    """A facilitator that does not say which transaction spent a nonce, as those of real chains do not."""

    async def settle(self, payment: Json, requirements: Json) -> Json:
        return {**await super().settle(payment, requirements), "transaction": ""}


async def test_a_spent_nonce_without_a_transaction_waits_for_the_operator(
    rows: PaymentRows, facilitator: LocalFacilitator, ledger: MemoryLedger
) -> None:
    exact, _, _ = methods(DyingFacilitator(facilitator, "after"), rows, ledger)
    credential = await answered(exact, "x402")
    with pytest.raises(ProcessDied):
        await exact.authorise(credential, TOPUP)
    exact, _, settlement = methods(SilentFacilitator(facilitator, "never"), rows, ledger)
    assert await settlement.finish(nothing_booked) == 1
    assert await settlement.finish(nothing_booked) == 0  # not asked for ever
    assert ledger.credits == {}
    with pytest.raises(AlreadyUsed, match="waits for the operator"):
        await exact.authorise(credential, TOPUP)


async def test_a_nonce_that_another_host_spent_is_not_credited(
    rows: PaymentRows, facilitator: LocalFacilitator, ledger: MemoryLedger
) -> None:
    class Late(DyingFacilitator):
        async def settle(self, payment: Json, requirements: Json) -> Json:
            await super().settle(payment, requirements)  # another host, between our check and our settlement
            return await super().settle(payment, requirements)

    exact, _, _ = methods(Late(facilitator, "never"), rows, ledger)
    with pytest.raises(PaymentRequired, match="nonce_already_used"):
        await exact.authorise(await answered(exact, "x402"), TOPUP)
    assert ledger.credits == {}


@pytest.mark.parametrize("booked_nano", [None, 0, 3_000_001])
async def test_an_authorisation_of_a_dead_process(
    rows: PaymentRows, facilitator: LocalFacilitator, ledger: MemoryLedger, booked_nano: int | None
) -> None:
    _, upto, _ = methods(facilitator, rows, ledger)
    authorisation = await upto.authorise(await answered(upto, "x402"), TOPUP)
    assert authorisation is not None

    async def booked(payment: str) -> int | None:
        assert payment == authorisation.payment
        return booked_nano

    _, _, settlement = methods(facilitator, rows, ledger)
    assert await settlement.finish(booked, abandoned_ms=60_000) == 0
    row = rows.find(authorisation.payment).row
    if booked_nano is None:
        assert row is not None and row.state == "authorised"  # its request may be running in another process
        await settlement.finish(booked)
        assert rows.find(authorisation.payment).row is None and ledger.credits == {}
    else:
        assert row is not None and row.state == "credited"
        assert ledger.balance("alice") == (3_001_000 if booked_nano else 0)


async def test_a_table_is_checked(database: Database, rows: PaymentRows) -> None:
    row: Any = rows.find("pay_none").row
    assert row is None
    assert not rows.advance("pay_none", "intended", "settled", 1)
    assert not rows.forget("pay_none", "authorised")

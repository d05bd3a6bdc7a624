"""An authorisation is settled once, for its price and never for more; or released."""

from __future__ import annotations

import pytest

from kvproxy.errors import AlreadyUsed, InvalidRequest
from kvproxy.payments.payment_demand import PaymentDemand
from kvproxy.payments.payment_registry import Payments
from kvproxy.payments.payment_rows import PaymentRows
from tests.payments.paying import MemoryLedger, wallet, x402_answer

MISS = PaymentDemand("alice", 40_000_500, "USD", "")


async def test_a_price_of_nothing_takes_nothing(payments: Payments, ledger: MemoryLedger) -> None:
    credential = x402_answer(await payments.challenge(MISS), wallet(), "upto")
    authorisation = await payments.authorise(credential, MISS.nano, MISS)
    assert authorisation is not None
    assert (await authorisation.settle(0)).nano == 0 and ledger.credits == {}


async def test_no_more_than_was_signed(payments: Payments, ledger: MemoryLedger) -> None:
    credential = x402_answer(await payments.challenge(MISS), wallet(), "upto")
    authorisation = await payments.authorise(credential, MISS.nano, MISS)
    assert authorisation is not None
    with pytest.raises(InvalidRequest, match="authorised for less"):
        await authorisation.settle(MISS.nano * 2)
    assert ledger.credits == {}


async def test_what_was_released_cannot_be_settled(
    payments: Payments, ledger: MemoryLedger, rows: PaymentRows
) -> None:
    credential = x402_answer(await payments.challenge(MISS), wallet(), "upto")
    authorisation = await payments.authorise(credential, MISS.nano, MISS)
    assert authorisation is not None
    await authorisation.release()
    await authorisation.release()
    assert rows.find(authorisation.payment).row is None
    with pytest.raises(AlreadyUsed, match="was released"):
        await authorisation.settle(1000)
    assert ledger.credits == {}

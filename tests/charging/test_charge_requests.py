from __future__ import annotations

from kvproxy.charging.charge_requests import (
    NoCharge,
    NoCharging,
    Offer,
    OpenCharge,
    Order,
    OrderedPrompt,
    Settled,
)
from kvproxy.charging.request_bill import Bill
from kvproxy.core import Caller, MeteredTokens
from kvproxy.events import Usage

ALICE = Caller("alice", "tenant:alice")
ORDERED = OrderedPrompt(100, 10)


async def test_without_charging_nothing_is_booked() -> None:
    charge: OpenCharge = await NoCharging().open(Order("r1", ALICE, "fake", (ORDERED,)))
    assert isinstance(charge, NoCharge) and charge.preview is None
    bill = Bill(NoCharging(), ALICE, "r1", Offer())
    await bill.open("fake", [ORDERED])
    bill.line(100).usage = Usage(100, 5, 0)
    assert bill.told(Usage(100, 5, 0)) == Usage(100, 5, 0)
    assert await bill.paid() == {}


async def test_a_free_charge_may_end_in_any_way() -> None:
    charge = await NoCharging().open(Order("r1", ALICE, "fake", (ORDERED,)))
    metered = MeteredTokens("fake", 100, 0, 5)
    assert charge.settle(metered) == charge.left(metered) == Settled()
    charge.release()
    assert charge.terms == {}

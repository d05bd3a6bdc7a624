"""A hold ends once, in whatever way."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from kvproxy.database.database import Database
from kvproxy.ledger.bookings import Booking
from kvproxy.ledger.hold import Hold
from kvproxy.ledger.transfers import NewCredit, book_credit
from tests.ledger.made_bookings import NOW_MS, a_clerk, booking, hold_request, metered


class Keeper:
    """A ledger that notes what its holds ask of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def settle_hold(self, hold: Hold, booking: Booking) -> None:
        if booking.request_id == "wrong":
            raise ValueError("wrong")
        self.calls.append("settle")

    def release_hold(self, hold: Hold) -> None:
        self.calls.append("release")


def a_hold(keeper: Keeper) -> Hold:
    return Hold(keeper, hold_request("r1"), (), reserved=True)


def test_a_hold_is_settled_or_released_once() -> None:
    keeper = Keeper()
    with a_hold(keeper) as hold:
        hold.settle(booking("r1"))
        hold.settle(booking("r1"))
        hold.release()
    assert keeper.calls == ["settle"] and hold.ended
    keeper = Keeper()
    with pytest.raises(RuntimeError), a_hold(keeper) as hold:
        raise RuntimeError
    hold.settle(booking("r1"))
    assert keeper.calls == ["release"]


def test_a_settlement_that_is_refused_leaves_the_hold() -> None:
    keeper = Keeper()
    hold = a_hold(keeper)
    with pytest.raises(ValueError):
        hold.settle(booking("wrong"))
    assert not hold.ended
    hold.release()
    assert keeper.calls == ["release"]


def test_a_charge_beyond_what_is_held_is_refused(ledger_database: Database, tmp_path: Path) -> None:
    clerk = a_clerk(ledger_database, tmp_path)
    book_credit(ledger_database, NewCredit("alice", 5000, "admin", "c1"), NOW_MS)
    right = booking("r1", metered(fresh=10))
    wrong = (
        booking("r1", metered(fresh=11)),
        booking("r2", metered(fresh=1)),
        dataclasses.replace(right, tenant="bertha"),
        dataclasses.replace(right, charge=dataclasses.replace(right.charge, currency="EUR")),
        dataclasses.replace(right, charge=dataclasses.replace(right.charge, host_share=5)),
    )
    with clerk.provide(hold_request("r1", 1000)) as hold:
        for one in wrong:
            with pytest.raises(ValueError):
                hold.settle(one)
        hold.settle(right)
    clerk.close()

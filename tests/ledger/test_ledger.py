"""The ledger of a running proxy: many requests at once, answers to questions, a database that is away."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from kvproxy.core.money import NANO
from kvproxy.database.database import Database
from kvproxy.errors import AlreadyUsed, PaymentRequired, QuotaExceeded, Unavailable
from kvproxy.ledger.bookings import HoldRequest
from kvproxy.ledger.hold import Hold
from kvproxy.ledger.ledger import Ledger
from kvproxy.ledger.ledger_check import check
from kvproxy.ledger.ledger_reading import AggregateQuery, RowQuery
from tests.ledger.made_bookings import NOW_MS, Limit, booking, caller, hold_request, reprice
from tests.server.doubles import eventually


@asynccontextmanager
async def open_ledger(database: Database, folder: Path, *, free: bool = True) -> AsyncIterator[Ledger]:
    opened = Ledger.open(database, folder, clock_ms=lambda: NOW_MS, free_while_away=free)
    async with opened as ledger:
        yield ledger


async def test_a_request_is_held_settled_and_booked(ledger_database: Database, tmp_path: Path) -> None:
    async with open_ledger(ledger_database, tmp_path) as ledger:
        assert await ledger.credit("alice", NANO, "promotional", "welcome", id="c1") == NANO
        with await ledger.hold(hold_request("r1", 5000)) as hold:
            assert (await ledger.balance("alice")).held == 5000
            hold.settle(booking("r1"))
        cost = booking("r1").charge.cost
        balance = await ledger.balance("alice")
        assert (balance.nano, balance.held, balance.credit) == (NANO - cost, 0, 0)
        assert (await ledger.balance("paula")).earned == 100
        row = await ledger.row("r1")
        assert row is not None and row.seq == 2 and row.charge == booking("r1").charge
        assert row.metered == booking("r1").metered and row.reader == "alice"
        assert await ledger.row("r2") is None
        assert [r.id for r in await ledger.rows(RowQuery(publisher="paula"))] == ["r1"]
        (day,) = await ledger.aggregate(AggregateQuery("day"))
        assert (day.name, day.requests, day.nano) == ("2026-09-21", 1, cost)
    assert check(ledger_database, reprice) == []
    assert list((tmp_path / "ledger").iterdir()) == []


async def test_a_hundred_requests_at_once_cannot_overdraw(ledger_database: Database, tmp_path: Path) -> None:
    async with open_ledger(ledger_database, tmp_path) as ledger:
        await ledger.credit("alice", 37_500, "admin", id="c1")
        asked = [ledger.hold(hold_request(f"r{n}", 1000)) for n in range(100)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        holds = [one for one in found if isinstance(one, Hold)]
        refused = [one for one in found if isinstance(one, PaymentRequired)]
        assert (len(holds), len(refused)) == (37, 63)
        assert "of which requests in progress hold 0.000037" in refused[0].message
        for hold in holds[:20]:
            hold.settle(booking(hold.request.request_id))
        for hold in holds[20:]:
            hold.release()
        cost = booking("r").charge.cost
        assert (await ledger.balance("alice")).nano == 37_500 - 20 * cost
    assert check(ledger_database, reprice) == []


async def test_two_processes_share_one_balance(ledger_database: Database, tmp_path: Path) -> None:
    """One gives back what it does not use when the other needs it; both together cannot overdraw."""
    async with (
        open_ledger(ledger_database, tmp_path / "one") as one,
        open_ledger(ledger_database, tmp_path / "two") as two,
    ):
        await one.credit("alice", 10_000, "admin", id="c1")
        (await one.hold(hold_request("r1", 100))).release()  # and keeps a lease of far more
        taking = asyncio.create_task(two.hold(hold_request("r2", 9_500)))
        (await taking).settle(booking("r2"))
        asked = [
            own.hold(hold_request(f"{name}{n}", 1000))
            for own, name in ((one, "a"), (two, "b"))
            for n in range(8)
        ]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert len([h for h in found if isinstance(h, Hold)]) == (10_000 - booking("r").charge.cost) // 1000
        for hold in found:
            if isinstance(hold, Hold):
                hold.release()
    assert check(ledger_database) == []


async def test_a_client_that_leaves_while_it_waits_holds_nothing(
    ledger_database: Database, tmp_path: Path
) -> None:
    async with open_ledger(ledger_database, tmp_path) as ledger:
        await ledger.credit("alice", 10_000, "admin", id="c1")
        for number in range(20):
            asking = asyncio.create_task(ledger.hold(hold_request(f"r{number}", 1000)))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            asking.cancel()
            found = (await asyncio.gather(asking, return_exceptions=True))[0]
            if isinstance(found, Hold):
                found.release()
        await ledger.booked()
        (await ledger.hold(hold_request("r", 10_000))).release()
        assert (await ledger.balance("alice")).held == 0


async def test_a_request_without_a_price_needs_no_balance(ledger_database: Database, tmp_path: Path) -> None:
    async with open_ledger(ledger_database, tmp_path) as ledger:
        (await ledger.hold(hold_request("r1", 0))).release()
        with pytest.raises(
            PaymentRequired, match=r"balance of 'alice' is 0 USD; this request may cost up to 0\.00001"
        ):
            await ledger.hold(hold_request("r2"))


async def test_a_payment_of_its_own_leaves_the_balance_alone(
    ledger_database: Database, tmp_path: Path
) -> None:
    async with open_ledger(ledger_database, tmp_path) as ledger:
        hold = await ledger.hold(hold_request("r1", 0))
        hold.settle(dataclasses.replace(booking("r1"), settled_by="pay_1"))
        row = await ledger.row("r1")
        assert row is not None and row.entries[0].account == "external:payment"
        assert (await ledger.balance("alice")).nano == 0
    assert check(ledger_database, reprice) == []


async def test_a_credit_is_booked_once(ledger_database: Database, tmp_path: Path) -> None:
    async with open_ledger(ledger_database, tmp_path) as ledger:
        credits = [ledger.credit("alice", 500, "payment", id="p1") for _ in range(5)]
        assert await asyncio.gather(*credits) == [500] * 5
        with pytest.raises(AlreadyUsed):
            await ledger.credit("alice", 501, "payment", id="p1")
        with pytest.raises(AlreadyUsed):
            await ledger.credit("bertha", 500, "payment", id="p1")
        refund = await ledger.refund("credit:p1", "sent back")
        assert await ledger.refund("credit:p1", "sent back") == refund
        assert (await ledger.balance("alice")).nano == 0


async def test_a_budget_counts_running_settled_and_booked_requests(
    ledger_database: Database, tmp_path: Path
) -> None:
    day = Limit("tenant:alice", "day", requests=3, tokens=300)

    def asked(id: str, tokens: int = 10) -> HoldRequest:
        return hold_request(id, 0, tokens=tokens, budgets=(day,))

    async with open_ledger(ledger_database, tmp_path) as ledger:
        first, second = await ledger.hold(asked("r1")), await ledger.hold(asked("r2"))
        with pytest.raises(QuotaExceeded, match="may use 300 tokens a day") as refused:
            await ledger.hold(asked("r3", 290))
        assert refused.value.retry_after_s is not None and 0 < refused.value.retry_after_s <= 86_400
        first.settle(dataclasses.replace(booking("r1"), settled_by="pay_1"))
        second.release()
        await ledger.booked()
        held = [await ledger.hold(asked("r4")), await ledger.hold(asked("r5"))]
        with pytest.raises(QuotaExceeded, match="may use 3 requests a day"):
            await ledger.hold(asked("r6"))
        for hold in held:
            hold.release()
    async with open_ledger(ledger_database, tmp_path) as ledger:  # what was used is known after a restart
        held = [await ledger.hold(asked("r7")), await ledger.hold(asked("r8"))]
        with pytest.raises(QuotaExceeded):
            await ledger.hold(asked("r9"))
        for hold in held:
            hold.release()


async def test_nothing_is_lost_while_the_database_is_away(ledger_database: Database, tmp_path: Path) -> None:
    """Settled requests wait in the journal; a hold that needs the database is a 503; a lease is good for a while."""
    async with open_ledger(ledger_database, tmp_path) as ledger:
        await ledger.credit("alice", 100_000, "admin", id="c1")
        first, second = (
            await ledger.hold(hold_request("r1", 2000)),
            await ledger.hold(hold_request("r2", 2000)),
        )
        first.settle(booking("r1"))
        await ledger.booked()
        with ledger_database.transaction() as db:
            db.execute(text("ALTER TABLE ledger_head RENAME TO ledger_gone"))
        second.settle(booking("r2"))
        with pytest.raises(Unavailable) as away:
            await ledger.hold(HoldRequest("r3", caller("bertha"), 10_000_000))
        assert away.value.retry_after_s == 5 and away.value.http_status == 503
        with pytest.raises(Unavailable):
            await ledger.booked()
        (await ledger.hold(hold_request("r4", 1000))).settle(booking("r4"))
        (await ledger.hold(hold_request("r5", 0))).release()
        with ledger_database.transaction() as db:
            db.execute(text("ALTER TABLE ledger_gone RENAME TO ledger_head"))
        assert [row.id for row in await ledger.rows(RowQuery(reader="alice"))] == [
            "credit:c1",
            "r1",
            "r2",
            "r4",
        ]
    assert check(ledger_database, reprice) == []


@pytest.mark.parametrize("free", [True, False])
async def test_what_costs_nothing_is_open_without_a_database_as_the_setting_says(
    ledger_database: Database, tmp_path: Path, free: bool
) -> None:
    async with open_ledger(ledger_database, tmp_path, free=free) as ledger:
        await ledger.credit("alice", 100_000, "admin", id="c1")
        held = await ledger.hold(hold_request("r1", 2000))
        with ledger_database.transaction() as db:
            db.execute(text("ALTER TABLE ledger_head RENAME TO ledger_gone"))
        held.settle(booking("r1"))
        await eventually(lambda: ledger.away)
        if free:
            (await ledger.hold(hold_request("r2", 0))).release()
        else:
            with pytest.raises(Unavailable, match="free_reads_while_down") as refused:
                await ledger.hold(hold_request("r2", 0))
            assert refused.value.retry_after_s
        with ledger_database.transaction() as db:
            db.execute(text("ALTER TABLE ledger_gone RENAME TO ledger_head"))
        await eventually(lambda: not ledger.away)
        (await ledger.hold(hold_request("r3", 0))).release()
        assert [row.id for row in await ledger.rows(RowQuery(reader="alice"))] == ["credit:c1", "r1"]

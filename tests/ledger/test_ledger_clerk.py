"""No sequence of holds, settlements, failures, retries, refunds, price changes and crashes breaks the ledger."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from sqlalchemy import delete, insert, select

from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.database.tables.account_tables import TENANTS
from kvproxy.database.tables.ledger_tables import LEDGER_BALANCES, LEDGER_LEASES, LEDGER_ROWS
from kvproxy.errors import InvalidRequest, PaymentRequired
from kvproxy.ledger.batch_booking import book_batch
from kvproxy.ledger.bookings import Booking
from kvproxy.ledger.hold import Hold
from kvproxy.ledger.lease_sql import tenant_credit
from kvproxy.ledger.ledger_check import check
from kvproxy.ledger.ledger_clerk import LedgerClerk
from kvproxy.ledger.transfers import NewCredit, book_credit, book_refund, find_row
from tests.ledger.made_bookings import (
    NOW_MS,
    a_clerk,
    booking,
    crash,
    hold_request,
    metered,
    reprice,
)

CREDIT: dict[str, int | None] = {"alice": 0, "bertha": 4_000, "carol": None}
"""By tenant: how far its balance may fall below zero."""


@dataclass
class Running:
    """A request of the model: what it holds, and the clerk that has it."""

    clerk: LedgerClerk
    hold: Hold
    tenant: str
    most: int


class LedgerMachine(RuleBasedStateMachine):
    """Up to three processes on one database, against sums in plain Python."""

    requests = Bundle("requests")

    def __init__(self, database: Database, folder: Path) -> None:
        super().__init__()
        self.database = database
        self.folders = [folder / "one", folder / "one", folder / "two"]
        """Two processes share a folder, as when one starts while the other still ends."""
        self.clerks: list[LedgerClerk | None] = [None, None, None]
        self.running: list[Running] = []
        self.settled: dict[str, Booking] = {}
        self.refunded: set[str] = set()
        self.credits: dict[str, tuple[str, int]] = {}
        self.made = 0
        self.tariff = "tariff-1"
        with database.transaction() as db:
            for table in reversed(METADATA.sorted_tables):
                db.execute(delete(table))
            for tenant, credit in CREDIT.items():
                db.execute(insert(TENANTS).values(id=tenant, scope=tenant, created_ms=0, credit_nano=credit))
        self.restart(0)

    def balance(self, tenant: str) -> int:
        """The tenant's balance by the model: everything that was promised, booked or not."""
        credited = sum(nano for to, nano in self.credits.values() if to == tenant)
        paid = sum(
            b.charge.cost for id, b in self.settled.items() if b.tenant == tenant and id not in self.refunded
        )
        return credited - paid

    def held(self, tenant: str) -> int:
        return sum(one.most for one in self.running if one.tenant == tenant)

    def clerk(self, at: int) -> LedgerClerk:
        if self.clerks[at] is None:
            self.restart(at)
        found = self.clerks[at]
        assert found is not None
        return found

    def restart(self, at: int) -> None:
        self.clerks[at] = a_clerk(self.database, self.folders[at])

    @rule(at=st.integers(0, 2), tenant=st.sampled_from(sorted(CREDIT)), tokens=st.integers(0, 60))
    def credit(self, at: int, tenant: str, tokens: int) -> None:
        nano = tokens * 100 + 1
        id = f"c{len(self.credits) if at else 0}"  # now and then one that was booked before
        before = self.credits.get(id, (tenant, nano))
        self.credits[id] = before
        book_credit(self.database, NewCredit(before[0], before[1], "admin", id), NOW_MS)

    @rule(
        target=requests,
        at=st.integers(0, 2),
        tenant=st.sampled_from(sorted(CREDIT)),
        tokens=st.integers(0, 30),
        together=st.integers(1, 3),
    )
    def hold(self, at: int, tenant: str, tokens: int, together: int) -> object:
        """Hold for some requests at once, so that they compete for one balance."""
        clerk, begun, most = self.clerk(at), [], tokens * 100
        for _ in range(together):
            self.made += 1
            request = hold_request(f"r{self.made}", most, tenant=tenant)
            credit = CREDIT[tenant]
            room = None if credit is None else self.balance(tenant) + credit - self.held(tenant) - most
            try:
                taken = clerk.take(request)
                hold = taken if isinstance(taken, Hold) else clerk.provide(request)
            except PaymentRequired as e:
                assert room is not None and most > 0
                assert room < 0 or sum(one is not None for one in self.clerks) > 1 or self.others_lease(clerk)
                assert tenant in e.message and "Top up" in e.message
                continue
            assert room is None or room >= 0 or most == 0, f"{tenant} holds {-room} more than it has"
            begun.append(Running(clerk, hold, tenant, most))
            self.running.append(begun[-1])
        return multiple(*begun)

    def others_lease(self, clerk: LedgerClerk) -> bool:
        """Whether a crashed process's leases bind a balance until it is buried."""
        with self.database.snapshot() as db:
            leases = select(LEDGER_LEASES.c.nano).where(LEDGER_LEASES.c.process != clerk.process)
            return any(db.execute(leases).scalars())

    @rule(one=consumes(requests), share=st.integers(0, 10), again=st.booleans(), hit=st.booleans())
    def settle(self, one: Running, share: int, again: bool, hit: bool) -> None:
        if one not in self.running:
            return
        id, tokens = one.hold.request.request_id, one.most // 100 * share // 10
        used = metered(cached=tokens // 20 * 20) if hit else metered(fresh=tokens)
        settled = booking(id, used, tenant=one.tenant, tariff=self.tariff)
        one.hold.settle(settled)
        self.settled[id] = settled
        self.running.remove(one)
        if again:
            one.hold.settle(settled)
            one.hold.release()

    @rule(one=consumes(requests))
    def release(self, one: Running) -> None:
        """A failed request, or a cancelled one that computed nothing."""
        one.hold.release()
        one.hold.release()
        if one in self.running:
            self.running.remove(one)

    @rule(at=st.integers(0, 2), number=st.integers(0, 20))
    def retry(self, at: int, number: int) -> None:
        """The same id comes to be settled once more, perhaps in another process; its tenant pays for it once."""
        ids = sorted(self.settled)
        if not ids:
            return
        before = self.settled[ids[number % len(ids)]]
        request = hold_request(before.request_id, before.charge.cost, tenant=before.tenant)
        try:
            hold = self.clerk(at).provide(request)
        except PaymentRequired:
            return
        hold.settle(before)

    @rule(at=st.integers(0, 2))
    def book(self, at: int) -> None:
        self.clerk(at).book_unbooked()

    @rule(at=st.integers(0, 2))
    def beat(self, at: int) -> None:
        self.clerk(at).beat()

    @rule()
    def change_price(self) -> None:
        self.tariff = "tariff-2" if self.tariff == "tariff-1" else "tariff-1"

    @rule(number=st.integers(0, 20))
    def refund(self, number: int) -> None:
        ids = sorted(self.settled)
        if not ids:
            return
        id = ids[number % len(ids)]
        with self.database.snapshot() as db:
            if find_row(db, id) is None:
                return
        first = book_refund(self.database, id, "test", at_ms=NOW_MS, credit_of=tenant_credit(0))
        assert book_refund(self.database, id, "again", at_ms=1, credit_of=tenant_credit(0)) == first
        self.refunded.add(id)
        with pytest.raises(InvalidRequest):
            book_refund(self.database, first.id, "a refund's", at_ms=1, credit_of=tenant_credit(0))

    @rule(at=st.integers(0, 2), point=st.sampled_from(["before", "in", "after"]))
    def kill(self, at: int, point: str) -> None:
        """The process ends before, in or after the booking of what it has settled, without a word."""
        clerk = self.clerks[at]
        if clerk is None:
            return
        waiting = [one.settled.booking for one in clerk.unbooked]
        if point == "in":
            with suppress(KeyboardInterrupt):  # with nothing new in the batch there is no such point
                book_batch(self.database, clerk.process, waiting or [booking("never", metered())], _killed)
        elif point == "after":
            book_batch(self.database, clerk.process, waiting)
        crash(clerk)
        self.clerks[at] = None
        self.running = [one for one in self.running if one.clerk is not clerk]

    @rule(at=st.integers(0, 2))
    def stop(self, at: int) -> None:
        """The process ends in order; requests that still run there are lost to it."""
        clerk = self.clerks[at]
        if clerk is not None:
            clerk.close()
            self.clerks[at] = None
            self.running = [one for one in self.running if one.clerk is not clerk]

    @invariant()
    def no_overdraft(self) -> None:
        for tenant, credit in CREDIT.items():
            assert credit is None or self.balance(tenant) - self.held(tenant) >= -credit or self.refunded

    @invariant()
    def sums_are_zero(self) -> None:
        with self.database.snapshot() as db:
            assert sum(db.execute(select(LEDGER_BALANCES.c.nano)).scalars()) == 0

    def teardown(self) -> None:
        for at in range(3):
            self.clerk(at)
        for clerk in self.clerks:
            assert clerk is not None
            clerk.close()
        with self.database.snapshot() as db:
            rows = {row.id: row.cost for row in db.execute(select(LEDGER_ROWS)) if row.kind == "read"}
            balances = {row.account: row.nano for row in db.execute(select(LEDGER_BALANCES))}
            assert db.execute(select(LEDGER_LEASES)).all() == []
        assert rows == {id: b.charge.cost for id, b in self.settled.items()}
        for tenant in CREDIT:
            assert balances.get(f"reader:{tenant}", 0) == self.balance(tenant)
        kept = [b.charge for id, b in self.settled.items() if id not in self.refunded]
        assert balances.get("publisher:paula", 0) == sum(d.publisher_share for c in kept for d in c.documents)
        assert balances.get("host", 0) == sum(c.host_share for c in kept)
        assert check(self.database, reprice) == []
        assert [path for folder in self.folders for path in folder.glob("*")] == []


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def _run(database: Database, folder: Path, examples: int) -> None:
    def machine() -> LedgerMachine:
        return LedgerMachine(database, Path(tempfile.mkdtemp(dir=folder)))

    run_machine(
        machine,  # type: ignore[arg-type]  # documented to take a factory; its annotation says a class
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        ),
    )


def test_no_sequence_breaks_the_ledger(ledger_database: Database, tmp_path: Path) -> None:
    _run(ledger_database, tmp_path, 15)


@pytest.mark.slow
def test_no_long_search_breaks_the_ledger(ledger_database: Database, tmp_path: Path) -> None:
    """KVPROXY_EXAMPLES=1000 looks longer."""
    _run(ledger_database, tmp_path, int(os.environ.get("KVPROXY_EXAMPLES", "60")))


def test_a_request_waits_in_the_queue_until_it_is_committed(
    ledger_database: Database, tmp_path: Path
) -> None:
    """Questions to the ledger go by the queue: empty means that all is booked."""
    waiting: list[int] = []
    clerk = a_clerk(
        ledger_database, tmp_path, credit=None, on_booked=lambda *_: waiting.append(len(clerk.unbooked))
    )
    for number in range(3):
        clerk.provide(hold_request(f"r{number}")).settle(booking(f"r{number}"))
    clerk.book_unbooked()
    assert waiting == [3] and not clerk.unbooked
    clerk.close()

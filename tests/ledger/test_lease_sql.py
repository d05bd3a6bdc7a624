"""Leases: never more than a balance has, asked back from others, ended with their process."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from kvproxy.database.database import Database
from kvproxy.database.tables.account_tables import TENANTS
from kvproxy.database.tables.ledger_tables import LEDGER_COUNTERS, LEDGER_LEASES
from kvproxy.ledger.booking_sql import add_head, count_used
from kvproxy.ledger.budget_windows import NOTHING, BudgetWindow, start_of, used_by, windows_of
from kvproxy.ledger.lease_sql import (
    RegisteredProcess,
    add_lease,
    add_process,
    all_processes,
    ask_back,
    asked_for,
    beat_once,
    chunk_beyond,
    forget_minutes,
    own_leases,
    read_funds,
    read_windows,
    remove_process,
    take_leases,
    tenant_credit,
    tidy_leases,
)
from kvproxy.ledger.transfers import NewCredit, book_credit
from tests.ledger.made_bookings import NOW_MS, booking


@given(need=st.integers(1, 10**18), more=st.integers(0, 10**18))
def test_a_chunk_leaves_the_balance_whole(need: int, more: int) -> None:
    assert 0 <= chunk_beyond(need, need + more) <= more


def test_funds_are_balance_credit_and_leases(ledger_database: Database) -> None:
    with ledger_database.transaction() as db:
        add_head(db)
        for tenant, credit in (("alice", 50), ("carol", None)):
            db.execute(insert(TENANTS).values(id=tenant, scope=tenant, created_ms=0, credit_nano=credit))
    book_credit(ledger_database, NewCredit("alice", 100, "admin", "c1"), NOW_MS)
    with ledger_database.transaction() as db:
        add_lease(db, "p", "alice", 30)
        add_lease(db, "q", "alice", 20)
        funds = read_funds(db, "alice", tenant_credit(7))
        assert (funds.balance, funds.credit, funds.leased, funds.available) == (100, 50, 50, 100)
        assert read_funds(db, "carol", tenant_credit(7)).credit is None
        assert read_funds(db, "stranger", tenant_credit(7)).available == 7


def test_a_lease_is_asked_back_from_others_alone(ledger_database: Database) -> None:
    with ledger_database.transaction() as db:
        assert not ask_back(db, "p", "alice")
        add_lease(db, "p", "alice", 30)
        assert not ask_back(db, "p", "alice")
        assert ask_back(db, "q", "alice")
        assert asked_for(db, "p") == ["alice"] and asked_for(db, "q") == []
        take_leases(db, "p", [("alice", 10)])
        assert own_leases(db, "p", ["alice", "bertha"]) == {"alice": 20, "bertha": 0}
        tidy_leases(db, "p")
        assert asked_for(db, "p") == []
        add_lease(db, "p", "alice", -20)
        tidy_leases(db, "p")
        assert db.execute(select(LEDGER_LEASES)).all() == []


def test_a_process_beats_until_it_is_removed(ledger_database: Database) -> None:
    process = RegisteredProcess("p", "host", "/folder", 1)
    with ledger_database.transaction() as db:
        assert not beat_once(db, "p")
        add_process(db, process)
        add_lease(db, "p", "alice", 30)
        assert beat_once(db, "p") and [one.beat for one in all_processes(db)] == [2]
        remove_process(db, "p")
        assert all_processes(db) == [] and own_leases(db, "p") == {}
        assert not beat_once(db, "p")


def test_windows_are_read_and_old_minutes_dropped(ledger_database: Database) -> None:
    one = booking("r1")
    with ledger_database.transaction() as db:
        count_used(db, [one, one])
        missing = BudgetWindow("key:other", "day", 0)
        found = read_windows(db, [*windows_of(one), missing])
        assert found.pop(missing) == NOTHING
        assert set(found.values()) == {used_by(one) + used_by(one)}
        assert read_windows(db, []) == {}
        forget_minutes(db, start_of("minute", NOW_MS) + 1)
        assert set(db.execute(select(LEDGER_COUNTERS.c.period)).scalars()) == {"day", "month"}

"""Windows of budgets, and what counts in them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.errors import QuotaExceeded
from kvproxy.ledger.bookings import Period
from kvproxy.ledger.budget_windows import (
    NOTHING,
    BudgetBook,
    BudgetWindow,
    Used,
    WindowUse,
    end_of,
    start_of,
    used_by,
    window_of,
    windows_of,
)
from tests.ledger.made_bookings import NOW_MS, Limit, booking

PERIODS: tuple[Period, ...] = ("minute", "day", "month")


@given(at=st.integers(0, 4_000_000_000_000), period=st.sampled_from(PERIODS))
def test_a_time_lies_in_its_period_and_periods_join(at: int, period: Period) -> None:
    start = start_of(period, at)
    end = end_of(period, start)
    assert start <= at < end
    assert start_of(period, start) == start == start_of(period, end - 1) and start_of(period, end) == end
    if period == "month":
        assert datetime.fromtimestamp(start / 1000, UTC).day == 1


def test_a_booking_counts_for_its_tenant_and_its_key() -> None:
    subjects = [(window.subject, window.period) for window in windows_of(booking("r1"))]
    assert subjects == [(s, p) for s in ("tenant:alice", "key:key-1") for p in PERIODS]
    assert used_by(booking("r1")) == Used(28, booking("r1").charge.cost, 1)


def test_a_window_is_judged_by_all_that_counts() -> None:
    limit = Limit("tenant:alice", "minute", tokens=100, nano=1000, requests=10)
    window = window_of(limit, NOW_MS)
    book = BudgetBook({window: WindowUse(Used(50, 100, 2))})
    book.hold((window,), Used(30, 0, 1))
    book.check((limit,), Used(20, 900, 7), NOW_MS)
    for most, name in (
        (Used(21), "100 tokens"),
        (Used(0, 901), "0.000001 money"),
        (Used(0, 0, 8), "10 requests"),
    ):
        with pytest.raises(QuotaExceeded, match=f"tenant alice may use {name} a minute") as refused:
            book.check((limit,), most, NOW_MS)
        assert refused.value.retry_after_s == (end_of("minute", window.start_ms) - NOW_MS) // 1000
        assert "ends at 2026-09-21T" in refused.value.message


def test_a_window_that_is_watched_late_counts_a_booking_once() -> None:
    """It was settled before the window was watched, and is booked after the database was read."""
    one = booking("r1")
    window = windows_of(one)[0]
    book = BudgetBook()
    assert book.settle(one) == ()
    book.uses[window] = WindowUse(NOTHING)
    book.booked({}, {window: used_by(one)})
    assert book.uses[window].total == used_by(one)


def test_a_window_that_began_after_the_last_reading_was_empty() -> None:
    limit = Limit("tenant:alice", "minute", requests=1)
    book = BudgetBook()
    assert book.unknown((limit,), NOW_MS) == [window_of(limit, NOW_MS)]
    book.read_ms = start_of("minute", NOW_MS)
    assert book.unknown((limit,), NOW_MS) == []


def test_windows_that_have_ended_are_forgotten_once_nothing_counts_in_them() -> None:
    old, now = BudgetWindow("key:k", "minute", 0), BudgetWindow("key:k", "month", start_of("month", NOW_MS))
    book = BudgetBook({old: WindowUse(Used(1, 1, 1)), now: WindowUse(NOTHING)})
    book.hold((old,), Used(1, 0, 1))
    book.forget_ended(NOW_MS)
    assert set(book.uses) == {old, now}
    book.hold((old,), Used(-1, 0, -1))
    book.forget_ended(NOW_MS)
    assert set(book.uses) == {now}

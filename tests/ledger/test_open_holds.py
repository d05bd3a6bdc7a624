"""Purses: nothing is given twice, and memory does not grow with the tenants ever seen."""

from __future__ import annotations

import threading
import time

from kvproxy.ledger.budget_windows import NOTHING, Used, window_of
from kvproxy.ledger.open_holds import Lacking, OpenHolds, SettledRequest, windows_held
from tests.ledger.made_bookings import NOW_MS, Limit, booking, hold_request


def open_holds(**leases: int) -> OpenHolds:
    holds = OpenHolds(valid_s=60.0)
    holds.beat_at = time.monotonic()
    for tenant, nano in leases.items():
        holds.lease(tenant, nano, unlimited=False)
    return holds


def test_a_lease_is_given_once() -> None:
    holds = open_holds(alice=1000)
    request = hold_request("r", 300)
    taken = [holds.take(request, NOW_MS) for _ in range(4)]
    assert taken == [Lacking.NOTHING] * 3 + [Lacking.LEASE]
    holds.give_back(request, ())
    assert holds.take(request, NOW_MS) is Lacking.NOTHING
    assert holds.purse("alice").free == 100


def test_a_settled_amount_is_free_again_only_when_the_database_has_it() -> None:
    holds = open_holds(alice=1000)
    request, one = hold_request("r1", 1000), booking("r1")
    holds.take(request, NOW_MS)
    settled = holds.settle(request, (), one)
    cost = one.charge.cost
    assert holds.purse("alice").free == 1000 - cost
    holds.booked([settled], frozenset({"r1"}), {"alice": 1000 - cost})
    assert holds.purse("alice").free == 1000 - cost and holds.purse("alice").unbooked == 0


def test_a_booking_that_had_been_booked_sets_its_cost_free() -> None:
    holds = open_holds(alice=1000)
    request, one = hold_request("r1", 1000), booking("r1")
    holds.take(request, NOW_MS)
    holds.booked([holds.settle(request, (), one)], frozenset(), {"alice": 1000})
    assert holds.purse("alice").free == 1000


def test_a_silent_process_uses_no_lease() -> None:
    holds = open_holds(alice=1000)
    holds.beat_at -= 61
    assert holds.take(hold_request("r", 1), NOW_MS) is Lacking.BEAT
    assert holds.take(hold_request("r", 0), NOW_MS) is Lacking.NOTHING


def test_credit_without_limit_needs_no_lease() -> None:
    holds = open_holds()
    holds.lease("alice", 0, unlimited=True)
    assert holds.take(hold_request("r", 10**15), NOW_MS) is Lacking.NOTHING
    assert holds.take(hold_request("r", 1, tenant="bertha"), NOW_MS) is Lacking.LEASE


def test_what_is_free_can_be_given_back() -> None:
    holds = open_holds(alice=1000, bertha=5)
    holds.take(hold_request("r", 300), NOW_MS)
    assert holds.idle(3600) == ["bertha"] and sorted(holds.idle(0)) == ["alice", "bertha"]
    assert (holds.shrink("alice"), holds.shrink("alice"), holds.shrink("nobody")) == (700, 0, 0)
    assert holds.take(hold_request("r2", 1), NOW_MS) is Lacking.LEASE
    holds.sync({"alice": 400})
    assert (holds.purse("alice").free, holds.purse("bertha").leased) == (100, 0)


def test_empty_purses_and_ended_windows_are_forgotten() -> None:
    holds = open_holds(alice=0, bertha=5)
    limit = Limit("tenant:alice", "minute", requests=1)
    holds.known({window_of(limit, 0): NOTHING})
    holds.forget_empty(NOW_MS)
    assert set(holds.purses) == {"bertha"} and holds.watched() == []


def test_a_hold_counts_in_its_windows_and_is_taken_off_at_its_end() -> None:
    holds = open_holds()
    request = hold_request("r1", 0, tokens=7, budgets=(Limit("tenant:alice", "day", tokens=10),))
    assert holds.unknown(request, NOW_MS) == list(windows_held(request, NOW_MS))
    assert holds.take(request, NOW_MS) is Lacking.BUDGET
    holds.known({window: Used(1, 0, 1) for window in holds.unknown(request, NOW_MS)})
    assert holds.take(request, NOW_MS) is Lacking.NOTHING
    (window,) = holds.watched()
    assert holds.budgets.uses[window].total == Used(8, 0, 2)
    holds.give_back(request, windows_held(request, NOW_MS))
    assert holds.budgets.uses[window].total == Used(1, 0, 1)


def test_threads_cannot_take_one_lease_twice() -> None:
    holds = open_holds(alice=10_000)
    taken: list[Lacking] = []

    def take() -> None:
        for _ in range(400):
            taken.append(holds.take(hold_request("r", 10), NOW_MS))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken.count(Lacking.NOTHING) == 1000 and holds.purse("alice").free == 0


def test_a_batch_with_one_id_twice_counts_it_once() -> None:
    holds = open_holds(alice=1000)
    window = window_of(Limit("tenant:alice", "day", requests=9), NOW_MS)
    holds.known({window: NOTHING})
    request = hold_request("r1", 400)
    settled: list[SettledRequest] = []
    for _ in range(2):
        holds.take(request, NOW_MS)
        settled.append(holds.settle(request, (), booking("r1", None)))
    holds.booked(settled, frozenset({"r1"}), {"alice": 1000})
    assert holds.budgets.uses[window].total.requests == 1

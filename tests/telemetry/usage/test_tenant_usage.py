"""One tenant's figures in memory: what is recorded, what is being written, and what is not yet."""

from __future__ import annotations

import tracemalloc

from kvproxy.core.miss_causes import MissCause
from kvproxy.telemetry.usage.tenant_usage import TenantUsage
from kvproxy.telemetry.usage.usage_overview import MissEntry
from kvproxy.telemetry.usage.usage_series import STEP_S, STEPS
from kvproxy.telemetry.usage.usage_store import DAY_S, RecordedUsage
from kvproxy.telemetry.usage.usage_sums import UsageSums
from tests.telemetry.usage.ended import NOON, hit, miss

DAY = int(NOON // DAY_S)


def requests(usage: TenantUsage, at: float = NOON) -> tuple[int, int]:
    found = usage.overview(at)
    return found.today.requests, found.total.requests


def test_the_same_is_shown_before_during_and_after_a_write() -> None:
    usage = TenantUsage("ann")
    usage.recorded = RecordedUsage(DAY, UsageSums(5), UsageSums(50))
    usage.count(hit(), None)
    assert requests(usage) == (6, 51)
    taken = usage.take()
    assert [sums.requests for sums in taken.values()] == [1] and requests(usage) == (6, 51)
    usage.count(hit(), None)
    usage.written()
    assert requests(usage) == (7, 52) and usage.recorded == RecordedUsage(
        DAY, UsageSums(6, 1, 0, *_TOKENS), _TOTAL
    )


_TOKENS = (1_000, 900, 10, 450_000, {"USD": 9_000})
_TOTAL = UsageSums(51, 1, 0, *_TOKENS)


def test_what_could_not_be_written_waits_for_the_next_time() -> None:
    usage = TenantUsage("ann")
    usage.count(hit(), None)
    usage.take()
    usage.count(hit(), None)
    usage.give_back()
    assert [sums.requests for sums in usage.take().values()] == [2]


def test_who_makes_room_leaves_what_is_not_being_written() -> None:
    usage = TenantUsage("ann")
    usage.count(hit(), None)
    usage.take()
    usage.count(hit(), None)
    assert [sums.requests for sums in usage.leave().values()] == [1]
    assert requests(usage) == (1, 1)


def test_yesterdays_record_is_no_part_of_today() -> None:
    usage = TenantUsage("ann")
    usage.recorded = RecordedUsage(DAY - 1, UsageSums(5), UsageSums(50))
    usage.count(hit(), None)
    assert requests(usage) == (1, 51)
    usage.take()
    usage.written()
    assert requests(usage, NOON) == (0, 51), "until it is read again"
    usage.recorded = RecordedUsage(DAY, UsageSums(1), UsageSums(51))
    assert requests(usage) == (1, 51)


def test_days_models_and_currencies_are_kept_apart() -> None:
    usage = TenantUsage("ann")
    for changed in ({}, {"model": "large"}, {"currency": "EUR"}, {"at": NOON + DAY_S}):
        usage.count(hit(**changed), None)
    keys = usage.take().keys()
    assert len(keys) == 4 and {key.tenant for key in keys} == {"ann"}
    assert {key.day for key in keys} == {DAY, DAY + 1}


def entry(number: int) -> MissEntry:
    return MissEntry(
        id=f"req_{number:032}",
        at=NOON + number,
        tenant="ann",
        model="small",
        reason="no-document",
        cause="timestamp",
        document=f"handbook-{number}@3",
        prompt_tokens=1000 + number,
        cached_tokens=300 + number,
        ttft_s=0.1 + number,
        answer=f"chatcmpl-{number:032}",
    )


def test_the_memory_of_a_tenant_has_a_bound_whatever_it_sends() -> None:
    causes = [cause.value for cause in MissCause]
    times = [*(1e-4 * 2 ** (number / 8) for number in range(217)), *[1.0] * 300]
    usage = TenantUsage("ann")
    tracemalloc.start()
    try:
        for minute in range(STEPS // 6):
            for number, ttft_s in enumerate(times):
                at = NOON + minute * STEP_S
                usage.count(hit(at=at, ttft_s=ttft_s), None)
                missed = miss(at=at, ttft_s=ttft_s, cause=causes[number % len(causes)])
                usage.count(missed, entry(minute * 1000 + number))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A sixth of the minutes; docs/watching.md says what all of them take.
    misses_and_newest_minute = 120_000
    assert 60_000 < grown < misses_and_newest_minute + (350_000 - misses_and_newest_minute) / 6

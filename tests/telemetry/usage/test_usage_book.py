"""The usage book: sums by tenant, misses, documents; written in batches and read back; bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from kvproxy.core import DocumentRef
from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.errors import Unavailable
from kvproxy.telemetry.usage import usage_book
from kvproxy.telemetry.usage.document_use import DocumentDay, DocumentUse
from kvproxy.telemetry.usage.document_uses import MOST_UNWRITTEN
from kvproxy.telemetry.usage.ended_request import DocumentPassage
from kvproxy.telemetry.usage.tenant_usage import MOST_MISSES
from kvproxy.telemetry.usage.usage_book import FRESH_S, MOST_TENANTS, UsageBook
from kvproxy.telemetry.usage.usage_records import UsageRecords
from kvproxy.telemetry.usage.usage_store import DocumentKey, RecordedUsage, UsageKey
from kvproxy.telemetry.usage.usage_sums import UsageSums
from tests.telemetry.usage.ended import HANDBOOK, NOON, hit, miss


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(None, tmp_path) as opened:
        migrate(opened)
        yield opened


async def test_sums_of_a_tenant_of_another_and_of_all(clock: Clock) -> None:
    usage = UsageBook(clock=clock)
    for ended in (hit(), hit(), miss(), hit(tenant="bob", saved_nano=-5)):
        usage.note(ended)
    ann, bob, everybody = [await usage.overview(name) for name in ("ann", "bob", None)]
    assert (ann.today.requests, ann.today.hits, ann.today.misses) == (3, 2, 1)
    assert (ann.today.prompt_tokens, ann.today.cached_tokens, ann.today.completion_tokens) == (
        3_000,
        1_800,
        30,
    )
    assert ann.today.hit_share == 0.6 and ann.today.saved_s == 0.9
    assert ann.today.saved == {"USD": 18_000} and ann.total == ann.today
    assert bob.today.requests == 1 and bob.today.saved == {"USD": -5}
    assert everybody.today.requests == 4 and everybody.today.saved == {"USD": 17_995}
    assert everybody.hit_ttft.count == 3 and everybody.miss_ttft.count == 1
    assert (await usage.overview("nobody")).total == UsageSums()


async def test_today_ends_at_midnight(clock: Clock) -> None:
    usage = UsageBook(clock=clock)
    usage.note(hit())
    clock.now = NOON + 43_200
    usage.note(hit(at=clock.now))
    found = await usage.overview("ann")
    assert (found.today.requests, found.total.requests) == (1, 2)


def test_misses_are_the_tenants_own_and_of_all_without_documents(clock: Clock) -> None:
    usage = UsageBook(clock=clock)
    for number in range(MOST_MISSES + 5):
        usage.note(miss(id=f"r{number}", cause="uuid" if number % 2 else "timestamp"))
    usage.note(miss(id="other", tenant="bob", cause=None, reason="no-document"))
    own = usage.misses("ann", 3)
    assert [entry.id for entry in own] == [f"r{MOST_MISSES + back}" for back in (4, 3, 2)]
    assert own[0].document == "handbook@3" and own[0].ttft_s == 0.5
    assert len(usage.misses("ann", 10**6)) == MOST_MISSES
    assert {entry.cause for entry in usage.misses("ann", 50, "uuid")} == {"uuid"}
    everybody = usage.misses(None, 2)
    assert [(entry.tenant, entry.document, entry.cause) for entry in everybody] == [
        ("bob", None, "unknown"),
        ("ann", None, "timestamp"),
    ]
    assert usage.misses("nobody", 5) == []


async def test_a_tenant_that_retains_nothing_leaves_sums_and_nameless_reads(clock: Clock) -> None:
    usage = UsageBook(clock=clock)
    usage.note(miss(retain=False))
    usage.note(hit(retain=False))
    assert (await usage.overview("ann")).total.requests == 2
    assert usage.misses("ann", 5) == usage.misses(None, 5) == []
    assert (await usage.documents([HANDBOOK], None))[HANDBOOK].reads == 1
    assert (await usage.documents([HANDBOOK], "ann"))[HANDBOOK] == DocumentUse()


async def test_a_documents_use_is_the_readers_own_or_of_all(clock: Clock) -> None:
    usage = UsageBook(clock=clock)
    usage.note(hit())
    usage.note(miss())
    usage.note(hit(tenant="bob", at=NOON + 86_400))
    found = await usage.documents([HANDBOOK, DocumentRef("other", 1)], None)
    use = found[HANDBOOK]
    assert (use.reads, use.hits, use.misses, use.cached_tokens) == (2, 2, 1, 1_600)
    assert use.last_read == int(NOON) + 86_400 and use.saved_s == 0.8 and use.saved == {"USD": 16_000}
    assert found[DocumentRef("other", 1)] == DocumentUse()
    assert (await usage.documents([HANDBOOK], "bob"))[HANDBOOK].reads == 1
    assert [day.use.reads for day in await usage.document_days(HANDBOOK, None)] == [1, 1]
    assert [day.day for day in await usage.document_days(HANDBOOK, "bob")] == [20_001]
    private = DocumentRef("handbook", 3, owner="tenant:x")
    assert (await usage.documents([private], None))[private] == DocumentUse(), "another document of that id"


async def test_in_all_survives_a_restart_and_adds_up_over_processes(database: Database, clock: Clock) -> None:
    first = UsageBook(UsageRecords(database), clock=clock)
    first.note(hit())
    await first.write()
    second = UsageBook(UsageRecords(database), clock=clock)
    second.note(hit())
    assert (await second.overview("ann")).total.requests == 2, "one is recorded, one is not yet"
    await second.write()
    assert (await second.overview("ann")).total.requests == 2
    assert (await first.overview("ann")).total.requests == 2, "what the other one wrote, once it is looked at"
    clock.now += FRESH_S + 1
    second.note(hit())
    await second.write()
    third = UsageBook(UsageRecords(database), clock=clock)
    assert (await third.overview(None)).total.saved == {"USD": 27_000}
    clock.now += 86_400
    found = await third.overview("ann")
    assert (found.today.requests, found.total.requests) == (0, 3)


class AwayStore:
    """A store that cannot be reached until it can."""

    def __init__(self, inner: UsageRecords) -> None:
        self.inner, self.away, self.silent = inner, True, False
        self.threads: set[str] = set()

    def _check(self) -> None:
        self.threads.add(threading.current_thread().name)
        if self.away:
            raise Unavailable("away", retry_after_s=1)

    def add(self, days: Mapping[UsageKey, UsageSums], documents: Mapping[DocumentKey, DocumentUse]) -> None:
        self._check()
        self.inner.add(days, documents)
        if self.silent:
            self.away = True
            raise Unavailable("the connection was lost", retry_after_s=1)

    def landed(self) -> bool:
        self._check()
        return self.inner.landed()

    def recorded(self, tenant: str, today: int) -> RecordedUsage:
        self._check()
        return self.inner.recorded(tenant, today)

    def document_uses(self, refs: Sequence[DocumentRef], tenant: str) -> dict[DocumentRef, DocumentUse]:
        self._check()
        return self.inner.document_uses(refs, tenant)

    def document_days(self, ref: DocumentRef, tenant: str) -> list[DocumentDay]:
        self._check()
        return self.inner.document_days(ref, tenant)

    def expire(self, today: int) -> None:
        self._check()


async def test_nothing_is_lost_while_the_database_is_away(database: Database, clock: Clock) -> None:
    store = AwayStore(UsageRecords(database))
    usage = UsageBook(store, clock=clock)
    usage.note(hit())
    await usage.write()
    usage.note(miss())
    assert (await usage.overview("ann")).total.requests == 2
    assert (await usage.documents([HANDBOOK], None))[HANDBOOK].reads == 1
    store.away = False
    await usage.write()
    clock.now += FRESH_S + 1
    assert (await usage.overview("ann")).total.requests == 2
    assert (await UsageBook(store, clock=clock).overview("ann")).total.requests == 2
    assert threading.main_thread().name not in store.threads, "no SQL on the event loop"


async def test_a_commit_that_nobody_answered_counts_once(database: Database, clock: Clock) -> None:
    """The database has it, the proxy was not told: before it asks, it neither shows nor writes it a second time."""
    store = AwayStore(UsageRecords(database))
    usage = UsageBook(store, clock=clock)
    usage.note(hit())
    store.away, store.silent = False, True
    await usage.write()
    usage.note(miss())
    clock.now += FRESH_S + 1
    assert (await usage.overview("ann")).total.requests == 2, "it is away"
    store.away = store.silent = False
    clock.now += FRESH_S + 1
    assert (await usage.overview("ann")).total.requests == 2, "a reader asks first, too"
    await usage.write()
    clock.now += FRESH_S + 1
    found = [await book.overview("ann") for book in (usage, UsageBook(store, clock=clock))]
    assert [one.total.requests for one in found] == [2, 2]
    uses = UsageRecords(database).recorded("", 20_000).total
    assert (uses.requests, uses.saved) == (2, {"USD": 9_000})


async def test_two_proxies_on_one_database_count_everything_once(database: Database, clock: Clock) -> None:
    first, second = [UsageBook(UsageRecords(database), clock=clock) for _ in range(2)]
    for _ in range(3):
        first.note(hit())
        second.note(miss())
        for usage in (first, second, first):
            await usage.write()
        clock.now += FRESH_S + 1
        await first.overview("ann")
    clock.now += FRESH_S + 1
    for usage in (first, second):
        total = (await usage.overview("ann")).total
        assert (total.requests, total.hits, total.misses, total.saved) == (6, 3, 3, {"USD": 27_000})


async def test_a_clock_that_is_put_back_keeps_nothing_stale(database: Database, clock: Clock) -> None:
    first, second = [UsageBook(UsageRecords(database), clock=clock) for _ in range(2)]
    await first.overview("ann")
    clock.now -= 3_600
    second.note(hit(at=clock.now))
    await second.write()
    assert (await first.overview("ann")).total.requests == 1


async def test_a_jump_over_midnight_and_back_counts_each_day_once(database: Database, clock: Clock) -> None:
    usage = UsageBook(UsageRecords(database), clock=clock)
    for jump in (0, 86_400, 0):
        clock.now = NOON + jump
        usage.note(hit(at=clock.now))
        await usage.write()
    clock.now += FRESH_S + 1
    found = await usage.overview("ann")
    assert (found.today.requests, found.total.requests) == (2, 3)
    clock.now = NOON + 86_400 + FRESH_S + 1
    assert (await usage.overview("ann")).today.requests == 1


async def test_what_is_asked_cold_is_no_hit_that_was_lost(database: Database, clock: Clock) -> None:
    usage = UsageBook(UsageRecords(database), clock=clock)
    cold = miss(reason="asked-cold", cause="asked-cold")
    for ended in (hit(), cold, cold):
        usage.note(ended)
    for _ in range(2):
        today = (await usage.overview("ann")).today
        assert (today.requests, today.hits, today.misses, today.cold) == (3, 1, 0, 2)
        assert today.hit_share == 0.9 and today.prompt_tokens == 1_000
        assert (await usage.documents([HANDBOOK], None))[HANDBOOK].misses == 0
        await usage.write()
        clock.now += FRESH_S + 1
    points = (await usage.overview("ann")).series
    assert sum(point.prompt_tokens for point in points) == 1_000
    assert usage.misses("ann", 5), "they are listed, with their cause"


async def test_the_run_writes_what_was_counted_last(database: Database, clock: Clock) -> None:
    usage = UsageBook(UsageRecords(database), clock=clock)
    running = asyncio.create_task(usage.run())
    await asyncio.sleep(0)
    usage.note(hit())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert UsageRecords(database).recorded("ann", 20_000).total.requests == 1


async def test_tenants_beyond_the_bound_make_room_and_are_not_lost(database: Database, clock: Clock) -> None:
    usage = UsageBook(UsageRecords(database), clock=clock)
    for number in range(MOST_TENANTS + 10):
        usage.note(hit(tenant=f"t{number}"))
    assert len(usage._tenants) == MOST_TENANTS
    await usage.write()
    assert (await usage.overview("t3")).total.requests == 1, "it is read again"
    assert (await usage.overview(None)).total.requests == MOST_TENANTS + 10


async def test_a_tenant_that_makes_room_during_a_failed_write_is_kept(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_book, "MOST_TENANTS", 1)
    store = AwayStore(UsageRecords(database))
    usage = UsageBook(store, clock=clock)
    usage.note(hit(tenant="ann"))
    writing = asyncio.create_task(usage.write())
    await asyncio.sleep(0)
    usage.note(hit(tenant="ann"))
    usage.note(hit(tenant="bob"))
    await writing
    store.away = False
    await usage.write()
    recorded = [UsageRecords(database).recorded(name, 20_000).total.requests for name in ("ann", "bob", "")]
    assert recorded == [2, 1, 3]


async def test_documents_that_wait_for_the_database_have_a_bound(clock: Clock) -> None:
    usage = UsageBook(clock=clock)
    for number in range(MOST_UNWRITTEN):
        document = DocumentRef(f"d{number}", 1)
        usage.note(hit(passages=(DocumentPassage(document, 10),)))
    assert usage._documents._count == MOST_UNWRITTEN

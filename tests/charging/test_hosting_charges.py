"""Publishing and storage, charged on the real ledger; a publisher over the fake engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.charging.hosting_charges import HOUR_MS, HostingCharges
from kvproxy.charging.publish_charges import StoredDocument
from kvproxy.charging.repriced_rows import repricer
from kvproxy.charging.storage_hours import book_storage_hours
from kvproxy.core import Caller
from kvproxy.database.database import Database
from kvproxy.documents.library.reading_rights import OwnersOnly
from kvproxy.errors import Overloaded, PaymentRequired
from kvproxy.ledger.bookings import HoldRequest
from kvproxy.ledger.hold import Hold
from kvproxy.ledger.ledger import Ledger
from kvproxy.ledger.ledger_check import check
from kvproxy.ledger.ledger_reading import RowQuery
from kvproxy.tariffs import Tariff
from tests.charging.market_setup import ALICE, MarketSetup, market_setup
from tests.charging.prices import PLENTY, PRICES
from tests.documents.models import write_model
from tests.test_publish import FRAMINGS, TEXT, Shop

PUBLISHING = PRICES.publishing // 10**6
BOOK = StoredDocument("book@3", ALICE, bytes=540_000_000, created_ms=0)


class OneTenant(OwnersOnly):
    """Every document is alice's."""

    def publisher(self, owner_scope: str) -> str:
        return "alice" if owner_scope == "tenant:alice" else ""


@pytest.fixture
async def setup(a_database: Database, tmp_path: Path) -> AsyncIterator[MarketSetup]:
    async with market_setup(a_database, tmp_path) as opened:
        yield opened
        await opened.ledger.booked()
        faults = await asyncio.to_thread(check, a_database, repricer(opened.tariffs, opened.terms))
        assert faults == []


def hosting_of(setup: MarketSetup, clock_ms: int = 10 * HOUR_MS) -> HostingCharges:
    return HostingCharges(setup.ledger, setup.tariffs, model="fake", clock_ms=lambda: clock_ms)


async def test_a_publish_pays_for_what_was_computed(setup: MarketSetup) -> None:
    await setup.credit(1000 * PUBLISHING)
    async with hosting_of(setup).publishing(ALICE, 800) as charge:
        assert await setup.balance() == (1000 * PUBLISHING, 800 * PUBLISHING)
        charge.settle(300)
    assert await setup.balance() == (700 * PUBLISHING, 0)
    (row,) = await setup.ledger.rows(RowQuery(kinds=("publish",)))
    assert (row.metered.prompt_tokens, row.charge.host_share) == (300, 300 * PUBLISHING)


async def test_a_publish_that_fails_or_computes_nothing_costs_nothing(setup: MarketSetup) -> None:
    await setup.credit(1000 * PUBLISHING)
    hosting = hosting_of(setup)
    with pytest.raises(Overloaded):
        async with hosting.publishing(ALICE, 800):
            raise Overloaded("busy")
    async with hosting.publishing(ALICE, 800) as charge:
        charge.settle(0)
    assert await setup.balance() == (1000 * PUBLISHING, 0)
    with pytest.raises(PaymentRequired):
        async with hosting.publishing(ALICE, 1001):
            pytest.fail("nothing may be computed")
    assert await setup.ledger.rows(RowQuery(kinds=("publish",))) == []


async def test_an_hour_is_booked_once(setup: MarketSetup) -> None:
    await setup.credit(PLENTY)
    hosting = hosting_of(setup)
    # A megabyte for an hour is 7000 nano-units: 540 of them, and of one that came at a quarter to, a quarter.
    late = replace(BOOK, name="late@1", created_ms=9 * HOUR_MS + HOUR_MS * 3 // 4)
    future = replace(BOOK, name="future@1", created_ms=10 * HOUR_MS)
    for _ in range(2):
        assert await hosting.book_hour(lambda: [BOOK, late, future], 9) == 2
        await setup.ledger.booked()
    again = hosting_of(setup)
    assert await again.book_hour(lambda: [BOOK], 9) == 1
    rows = await setup.ledger.rows(RowQuery(kinds=("storage",)))
    assert [(row.id, row.charge.cost) for row in rows] == [
        ("storage:alice:book@3:9", 540 * 7000),
        ("storage:alice:late@1:9", 540 * 7000 // 4),
    ]
    assert await setup.balance() == (PLENTY - 540 * 7000 * 5 // 4, 0)


async def test_free_storage_walks_over_nothing(setup: MarketSetup) -> None:
    free = Tariff.of("USD", 5 * HOUR_MS, {"fake": replace(PRICES, storage_mb_hour=0)})
    await asyncio.to_thread(setup.tariffs.record, free, 0)
    assert await hosting_of(setup).book_hour(lambda: pytest.fail("they may be very many"), 9) == 0
    assert await hosting_of(setup).book_hour(list, 3) == 0


async def test_the_documents_are_walked_over_on_a_worker_thread_and_others_have_their_turn(
    setup: MarketSetup,
) -> None:
    await setup.credit(PLENTY)
    (await setup.ledger.hold(HoldRequest("large", ALICE, 10**9))).release()
    walked: list[threading.Thread] = []

    def documents() -> Iterator[StoredDocument]:
        walked.append(threading.current_thread())
        yield from (replace(BOOK, name=f"leaf{i}@1", bytes=1_000_000) for i in range(500))

    held, most = 0, 0

    class Counted(Ledger):
        def __init__(self) -> None:
            pass

        async def hold(self, request: HoldRequest) -> Hold:
            nonlocal held
            held += 1
            return await setup.ledger.hold(request)

    async def others() -> None:
        nonlocal most
        while True:
            before = held
            await asyncio.sleep(0)
            most = max(most, held - before)

    other = asyncio.create_task(others())
    hosting = HostingCharges(Counted(), setup.tariffs, model="fake", clock_ms=lambda: 10 * HOUR_MS)
    assert await hosting.book_hour(documents, 9) == 500
    await asyncio.sleep(0)
    other.cancel()
    assert walked != [threading.current_thread()] and len(walked) == 1
    assert held == 500 and most <= 50, "money at hand is held without waiting"


async def test_a_publisher_without_balance_is_not_overdrawn(setup: MarketSetup) -> None:
    await setup.credit(540 * 7000 - 1)
    assert await hosting_of(setup).book_hour(lambda: [BOOK], 9) == 0
    assert await setup.balance() == (540 * 7000 - 1, 0)


async def test_the_task_books_each_hour_that_has_ended(setup: MarketSetup) -> None:
    await setup.credit(PLENTY)
    now = 10 * HOUR_MS + 1
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        waited.append(seconds)
        now += 2 * HOUR_MS if len(waited) == 1 else HOUR_MS
        if len(waited) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await book_storage_hours(hosting_of(setup), lambda: [BOOK], clock_ms=lambda: now, sleep=sleep)
    rows = await setup.ledger.rows(RowQuery(kinds=("storage",)))
    assert [int(row.id.rpartition(":")[2]) for row in rows] == [9, 10, 11, 12], "also after a long sleep"
    assert 3600 < waited[0] < 3610


async def test_an_hour_that_could_not_be_booked_is_tried_again() -> None:
    tried: list[int] = []

    class Away(HostingCharges):
        def __init__(self) -> None:
            pass

        async def book_hour(self, documents: object, hour: int) -> int:
            tried.append(hour)
            if len(tried) == 1:
                raise OSError("the database is away")
            return 0

    now, slept = 10 * HOUR_MS, 0

    async def sleep(seconds: float) -> None:
        nonlocal now, slept
        now += HOUR_MS
        slept += 1
        if slept == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await book_storage_hours(Away(), list, clock_ms=lambda: now, sleep=sleep)
    assert tried == [9, 9, 10]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "qwen3")


async def test_a_new_version_is_charged_and_the_same_text_again_is_not(
    setup: MarketSetup, folder: Path, tmp_path: Path
) -> None:
    await setup.credit(PLENTY)
    shop = Shop(folder, tmp_path / "shop", set(), FRAMINGS)
    shop.library.rights = OneTenant()
    shop.publisher._hosting = hosting_of(setup)
    done = await shop.publisher.publish("rules", TEXT, "private", ALICE)
    tokens = sum(framing.tokens for framing in done.info.framings)
    assert await setup.balance() == (PLENTY - tokens * PUBLISHING, 0)
    await shop.publisher.publish("rules", TEXT, "private", ALICE)
    shop.backend.fail_next(Overloaded("busy"))
    with pytest.raises(Overloaded):
        await shop.publisher.publish("rules", TEXT + "And more.", "private", ALICE)
    assert await setup.balance() == (PLENTY - tokens * PUBLISHING, 0)
    (stored,) = shop.publisher.stored()
    assert (stored.name, stored.owner.name, stored.bytes) == ("rules@1:private", "alice", 4 * tokens)
    await setup.ledger.credit("bob", PLENTY, "admin", id="c2")
    await shop.publisher.publish("strange", TEXT, "private", Caller("bob", "tenant:bob"))
    assert [document.name for document in shop.publisher.stored()] == ["rules@1:private"]
    shop.registry.close()


async def test_without_balance_nothing_is_published(setup: MarketSetup, folder: Path, tmp_path: Path) -> None:
    shop = Shop(folder, tmp_path / "shop", set(), FRAMINGS)
    shop.publisher._hosting = hosting_of(setup)
    with pytest.raises(PaymentRequired):
        await shop.publisher.publish("rules", TEXT, "public", ALICE)
    assert len(shop.library) == 0 and shop.backend.disk == set()
    shop.registry.close()


async def test_a_storage_row_of_another_amount_is_found(setup: MarketSetup) -> None:
    await setup.credit(PLENTY)
    await hosting_of(setup).book_hour(lambda: [BOOK], 9)
    (row,) = await setup.ledger.rows(RowQuery(kinds=("storage",)))
    priced = repricer(setup.tariffs, setup.terms)
    assert priced(row) == row.charge
    more = priced(replace(row, fingerprint="byte-ms:1"))
    assert more is not None and more.cost != row.charge.cost
    assert priced(replace(row, fingerprint="f" * 64)) is None

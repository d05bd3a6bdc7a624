"""The keys of recorded sums, beside the tables and the book that use them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Table

from kvproxy.core import DocumentRef
from kvproxy.database.tables.usage_tables import DOCUMENT_DAYS, USAGE_DAYS
from kvproxy.telemetry.usage.document_use import DocumentDay, DocumentUse
from kvproxy.telemetry.usage.ended_request import EndedRequest
from kvproxy.telemetry.usage.usage_book import UsageBook
from kvproxy.telemetry.usage.usage_store import (
    DAY_S,
    EVERYBODY,
    DocumentKey,
    RecordedUsage,
    UsageKey,
    UsageStore,
)
from kvproxy.telemetry.usage.usage_sums import NO_USAGE, UsageSums, added
from tests.telemetry.usage.ended import HANDBOOK, NOON, hit, miss

DAY = int(NOON // DAY_S)


class ListedUsage:
    """A store of what a book adds, without a database."""

    def __init__(self) -> None:
        self.days: list[tuple[UsageKey, UsageSums]] = []
        self.documents: list[tuple[DocumentKey, DocumentUse]] = []
        self.expired: list[int] = []

    def add(self, days: Mapping[UsageKey, UsageSums], documents: Mapping[DocumentKey, DocumentUse]) -> None:
        self.days += days.items()
        self.documents += documents.items()

    def landed(self) -> bool:
        return True

    def recorded(self, tenant: str, today: int) -> RecordedUsage:
        mine = [(key.day, sums) for key, sums in self.days if key.tenant == tenant]
        return RecordedUsage(
            today, added(sums for day, sums in mine if day == today), added(sums for _, sums in mine)
        )

    def document_uses(self, refs: Sequence[DocumentRef], tenant: str) -> dict[DocumentRef, DocumentUse]:
        found: dict[DocumentRef, DocumentUse] = {}
        for ref in refs:
            for day in self.document_days(ref, tenant):
                found[ref] = found.get(ref, DocumentUse()) + day.use
        return found

    def document_days(self, ref: DocumentRef, tenant: str) -> list[DocumentDay]:
        wanted = (ref.name, ref.version, tenant)
        return [DocumentDay(key.day, use) for key, use in self.documents if key[:3] == wanted]

    def expire(self, today: int) -> None:
        self.expired.append(today)


async def written(*each: EndedRequest) -> ListedUsage:
    """Return the store of a book that counted these requests."""
    made = ListedUsage()
    store: UsageStore = made
    book = UsageBook(store, clock=lambda: NOON)
    for ended in each:
        book.note(ended)
    await book.write()
    return made


@pytest.mark.parametrize(("key", "table"), [(UsageKey, USAGE_DAYS), (DocumentKey, DOCUMENT_DAYS)])
def test_sums_are_apart_by_the_columns_of_the_tables_key(key: Any, table: Table) -> None:
    assert key._fields == tuple(table.primary_key.columns.keys())


@pytest.mark.parametrize(
    ("other", "keys"),
    [
        ({}, 1),
        ({"tenant": "bob"}, 2),
        ({"at": NOON + DAY_S}, 2),
        ({"model": "large"}, 2),
        ({"currency": "EUR"}, 2),
        ({"currency": "", "saved_nano": 0}, 2),
        ({"id": "r9", "prompt_tokens": 5, "reason": "other"}, 1),
    ],
    ids=str,
)
async def test_each_part_of_a_key_keeps_sums_apart_and_nothing_else_does(
    other: dict[str, Any], keys: int
) -> None:
    store = await written(hit(), hit(**other))
    apart = [key for key, _ in store.days if key.tenant != EVERYBODY]
    assert len(apart) == keys == len(set(apart))
    readers = {key for key, _ in store.documents if key.tenant != EVERYBODY}
    assert len(readers) == (1 if "model" in other else keys), "a document's uses are of all models"


async def test_the_sums_of_everybody_are_those_of_all_tenants() -> None:
    store = await written(hit(), miss(), hit(tenant="bob"), hit(tenant="cid", retain=False))
    tenants = {key.tenant for key, _ in store.days} - {EVERYBODY}
    assert tenants == {"ann", "bob", "cid"}
    whole = store.recorded(EVERYBODY, DAY)
    assert whole.total == added(store.recorded(name, DAY).total for name in tenants) == whole.today
    assert (whole.total.requests, whole.total.hits, whole.total.saved) == (4, 3, {"USD": 27_000})
    uses = [store.document_uses([HANDBOOK], name).get(HANDBOOK) for name in (EVERYBODY, "ann", "bob", "cid")]
    assert [use and (use.reads, use.misses) for use in uses] == [(3, 1), (1, 1), (1, 0), None]


@pytest.mark.parametrize(
    ("at", "later"),
    [("2024-10-04T23:59:59.999999", 0), ("2024-10-05T00:00:00", 1), ("2024-10-05T23:59:59", 1)],
)
async def test_a_day_is_one_of_utc(at: str, later: int) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    store = await written(hit(at=moment.timestamp()))
    first = (datetime(2024, 10, 4, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    assert days_of(key for key, _ in store.days) == {first + later: 2}
    assert days_of(key for key, _ in store.documents) == {first + later: 2}


def days_of(keys: Iterable[UsageKey | DocumentKey]) -> Counter[int]:
    return Counter(key.day for key in keys)


async def test_what_is_recorded_of_nobody_adds_nothing() -> None:
    nothing = RecordedUsage(DAY)
    assert nothing.today == nothing.total == NO_USAGE
    assert (await written()).recorded("ann", DAY) == nothing
    book = UsageBook(await written(hit()), clock=lambda: NOON)
    book.note(hit())
    assert (await book.overview("ann")).total.requests == 2
    assert (await book.overview("bob")).total == NO_USAGE

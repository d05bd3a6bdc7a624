"""The recorded sums, in SQLite and PostgreSQL: added up, kept apart, bounded, gone with their documents."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import delete, func, insert, select

from kvproxy.core import DocumentRef
from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.database.tables.document_tables import DOCUMENT_VERSIONS, DOCUMENTS
from kvproxy.database.tables.usage_tables import DOCUMENT_DAYS, USAGE_DAYS
from kvproxy.telemetry.usage.document_use import DocumentUse
from kvproxy.telemetry.usage.usage_records import UsageRecords
from kvproxy.telemetry.usage.usage_store import DocumentKey, UsageKey
from kvproxy.telemetry.usage.usage_sums import UsageSums

TODAY = 20_000
SUMS = UsageSums(3, 2, 1, 3_000, 1_800, 30, 900_000, {"USD": 18_000})
USE = DocumentUse(2, 1, 1_600, 1_728_000_000, 800_000, {"USD": 16_000})
KEY = UsageKey("ann", TODAY, "small", "USD")
HANDBOOK = DocumentRef("handbook", 3)
READ = DocumentKey("handbook", 3, "ann", TODAY, "USD")


@pytest.fixture
def database(a_database: Database) -> Database:
    """A migrated database of each kind, with one version of one document."""
    migrate(a_database)
    with a_database.transaction() as db:
        db.execute(insert(DOCUMENTS).values(name="handbook", last_version=3, digest=b""))
        version = {"etag": "e", "visibility": "public", "owner_scope": "tenant:x", "created": 1}
        rest = {"origin": "published", "pinned": 0, "digest": b""}
        db.execute(insert(DOCUMENT_VERSIONS).values(name="handbook", version=3, **version, **rest))
    return a_database


def test_sums_are_added_by_day_model_and_currency(database: Database) -> None:
    records = UsageRecords(database)
    records.add({KEY: SUMS, KEY._replace(model="large"): SUMS, KEY._replace(day=TODAY - 1): SUMS}, {})
    free = replace(SUMS, saved={})
    records.add({KEY: SUMS, KEY._replace(currency=""): free, KEY._replace(currency="EUR"): free}, {})
    found = records.recorded("ann", TODAY)
    assert (found.day, found.today.requests, found.total.requests) == (TODAY, 15, 18)
    assert found.today.saved == {"USD": 54_000, "EUR": 0} and found.total.saved["USD"] == 72_000
    assert found.total.cached_tokens == 6 * 1_800 and found.total.saved_us == 6 * 900_000
    assert records.recorded("bob", TODAY).total == UsageSums()
    assert records.recorded("", TODAY).total == UsageSums(), "all tenants are a row of their own"


def test_uses_of_documents_are_added_by_reader(database: Database) -> None:
    records = UsageRecords(database)
    records.add({}, {READ: USE, READ._replace(tenant=""): USE})
    later = replace(USE, last_read=1_728_000_500)
    unread = DocumentUse(misses=4)
    records.add({}, {READ: unread, READ._replace(tenant="", day=TODAY + 1): later})
    assert records.document_uses([HANDBOOK], "ann") == {HANDBOOK: USE + unread}
    assert records.document_uses([HANDBOOK, DocumentRef("other", 1)], "") == {HANDBOOK: USE + later}
    assert [(d.day, d.use.reads) for d in records.document_days(HANDBOOK, "")] == [(TODAY, 2), (TODAY + 1, 2)]
    assert records.document_uses([HANDBOOK], "bob") == {} and records.document_days(HANDBOOK, "bob") == []
    assert records.document_uses([replace(HANDBOOK, owner="tenant:x")], "ann") == {}


def test_a_first_read_after_a_miss_has_its_moment(database: Database) -> None:
    records = UsageRecords(database)
    records.add({}, {READ: DocumentUse(misses=1)})
    assert records.document_uses([HANDBOOK], "ann")[HANDBOOK].last_read is None
    records.add({}, {READ: USE})
    assert records.document_uses([HANDBOOK], "ann")[HANDBOOK].last_read == USE.last_read


def test_a_deleted_document_takes_its_rows_along_and_gets_none_again(database: Database) -> None:
    records = UsageRecords(database)
    records.add({}, {READ: USE})
    with database.transaction() as db:
        db.execute(delete(DOCUMENT_VERSIONS))
    assert records.document_uses([HANDBOOK], "ann") == {}
    records.add({KEY: SUMS}, {READ: USE})
    assert records.document_uses([HANDBOOK], "ann") == {}
    assert records.recorded("ann", TODAY).total == SUMS, "the rest is written all the same"


def test_old_days_are_deleted_and_the_sums_of_all_days_stay(database: Database) -> None:
    records = UsageRecords(database, days=10, document_days=5)
    records.add({KEY._replace(day=TODAY - back): SUMS for back in (0, 9, 10, 50)}, {})
    records.add({}, {READ._replace(day=TODAY - back): USE for back in (0, 4, 5)})
    records.expire(TODAY)
    with database.snapshot() as db:
        days = set(db.execute(select(USAGE_DAYS.c.day)).scalars())
        documents = set(db.execute(select(DOCUMENT_DAYS.c.day)).scalars())
    assert days == {0, TODAY, TODAY - 9} and documents == {0, TODAY, TODAY - 4}
    assert records.recorded("ann", TODAY).total.requests == 12
    assert records.document_uses([HANDBOOK], "ann")[HANDBOOK].reads == 6


def test_processes_that_write_at_once_lose_nothing(database: Database) -> None:
    def write(number: int) -> None:
        tenants = ("ann", "bob", "") if number % 2 else ("", "bob", "ann")
        UsageRecords(database).add({KEY._replace(tenant=name): SUMS for name in tenants}, {READ: USE})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(20)))
    records = UsageRecords(database)
    assert records.recorded("", TODAY).total.requests == records.recorded("bob", TODAY).today.requests == 60
    assert records.document_uses([HANDBOOK], "ann")[HANDBOOK].reads == 40


def test_many_documents_are_read_in_batches(database: Database) -> None:
    records = UsageRecords(database)
    records.add({}, {READ: USE})
    refs = [DocumentRef(f"d{number}", 1) for number in range(1_500)]
    assert records.document_uses([*refs, HANDBOOK], "ann") == {HANDBOOK: USE}
    with database.snapshot() as db:
        assert db.execute(select(func.count()).select_from(DOCUMENT_DAYS)).scalar() == 2

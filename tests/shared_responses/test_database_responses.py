from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import select, update

from kvproxy.bench.private_postgres import PostgresServer
from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.database.tables.response_tables import STORED_RESPONSES
from kvproxy.errors import Unavailable
from kvproxy.shared_responses.database_responses import DatabaseResponses
from tests.database.postgres import new_schema, postgres_server
from tests.server.doubles import eventually


@pytest.fixture
def url(postgres_url: str, tmp_path: Path) -> Iterator[str]:
    with new_schema(postgres_url) as url:
        with Database.open(url, tmp_path) as database:
            migrate(database)
        yield url


@pytest.fixture
async def two(url: str, tmp_path: Path) -> AsyncIterator[tuple[DatabaseResponses, DatabaseResponses]]:
    with Database.open(url, tmp_path) as first, Database.open(url, tmp_path) as second:
        with (
            DatabaseResponses(first, ttl_s=60, max_size=2**20) as a,
            DatabaseResponses(second, ttl_s=60, max_size=2**20) as b,
        ):
            yield a, b


async def test_what_one_proxy_stores_the_other_returns(
    two: tuple[DatabaseResponses, DatabaseResponses],
) -> None:
    a, b = two
    written = a.put("tenant:a", "resp_1", b"record")
    assert await a.get("tenant:a", "resp_1") == b"record", "before it is written, too"
    await written
    assert await b.get("tenant:a", "resp_1") == b"record"
    assert await b.get("tenant:b", "resp_1") is None, "no scope can reach another's"
    assert not await b.delete("tenant:b", "resp_1") and await b.delete("tenant:a", "resp_1")
    assert await a.get("tenant:a", "resp_1") is None and not await a.delete("tenant:a", "resp_1")


async def test_a_record_that_is_being_written_is_waited_for(
    two: tuple[DatabaseResponses, DatabaseResponses],
) -> None:
    a, b = two
    asked = asyncio.create_task(b.get("tenant:a", "resp_1"))
    await a.put("tenant:a", "resp_1", b"record")
    assert await asked == b"record"


async def test_a_damaged_record_is_not_served(
    two: tuple[DatabaseResponses, DatabaseResponses], url: str, tmp_path: Path
) -> None:
    a, b = two
    await asyncio.gather(a.put("tenant:a", "resp_1", b"record"), a.put("tenant:a", "resp_2", b"record"))
    with Database.open(url, tmp_path) as database, database.transaction() as db:
        other = select(STORED_RESPONSES.c.record).where(STORED_RESPONSES.c.id == "resp_2").scalar_subquery()
        db.execute(update(STORED_RESPONSES).where(STORED_RESPONSES.c.id == "resp_1").values(record=other))
    assert await b.get("tenant:a", "resp_1") is None, "another record's bytes are not its own"
    assert await asyncio.to_thread(b.check) == ["response resp_1 is damaged"]
    assert await asyncio.to_thread(a.drop_damaged) == 1 and await asyncio.to_thread(b.check) == []
    assert await b.get("tenant:a", "resp_2") == b"record"


async def test_the_time_of_a_record_ends(url: str, tmp_path: Path) -> None:
    with Database.open(url, tmp_path) as database:
        with DatabaseResponses(database, ttl_s=0.0, max_size=2**20) as responses:
            await responses.put("tenant:a", "resp_1", b"record")
            assert await responses.get("tenant:a", "resp_1") is None
            assert not await responses.delete("tenant:a", "resp_1")


async def test_the_scope_that_has_the_most_makes_room(url: str, tmp_path: Path) -> None:
    with Database.open(url, tmp_path) as database:
        with DatabaseResponses(database, ttl_s=60, max_size=100_000) as responses:
            await responses.put("tenant:small", "resp_s", b"x" * 10_000)
            for i in range(12):
                await responses.put("tenant:large", f"resp_{i}", b"x" * 10_000)
            found = [await responses.get("tenant:large", f"resp_{i}") is not None for i in range(12)]
            assert found == sorted(found) and 7 <= sum(found) <= 8, "the oldest went first"
            assert await responses.get("tenant:small", "resp_s") is not None
            await responses.put("tenant:small", "resp_t", b"x" * 30_000)
            assert await responses.get("tenant:small", "resp_t") is None, "larger than a quarter"


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


async def test_without_a_database_records_wait_and_are_written_when_it_is_back(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    with Database.open(own_server.url, tmp_path) as database:
        await asyncio.to_thread(migrate, database)
        with DatabaseResponses(database, ttl_s=60, max_size=2**20) as responses:
            await responses.put("tenant:a", "resp_1", b"one")
            await asyncio.to_thread(own_server.stop)
            second = responses.put("tenant:a", "resp_2", b"two")
            assert await responses.get("tenant:a", "resp_2") == b"two"
            with pytest.raises(Unavailable) as refused:
                await responses.get("tenant:a", "resp_1")
            assert refused.value.retry_after_s
            with pytest.raises(Unavailable):
                await responses.delete("tenant:a", "resp_1")
            assert not second.done()
            await eventually(lambda: responses._away)
            third = responses.put("tenant:a", "resp_3", b"three")
            assert third.done(), "the outage is known: no answer waits for it"
            await asyncio.to_thread(own_server.start)
            await second
            await asyncio.gather(*responses._writes)
        with DatabaseResponses(database, ttl_s=60, max_size=2**20) as again:
            assert [await again.get("tenant:a", f"resp_{i}") for i in (1, 2, 3)] == [b"one", b"two", b"three"]


async def test_what_waits_for_a_database_keeps_no_other_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = threading.Event()

    def hangs(*_: object) -> NoReturn:
        there.wait(30)
        raise Unavailable("away")

    with Database.open("postgresql+psycopg://nobody@127.0.0.1:1/none", tmp_path) as database:
        responses = DatabaseResponses(database, ttl_s=60, max_size=2**20)
        monkeypatch.setattr(responses, "_put", hangs)
        waiting = [responses.put("tenant:a", f"resp_{i}", b"record") for i in range(40)]
        try:
            await asyncio.sleep(0.1)  # each has begun
            async with asyncio.timeout(5):
                assert await asyncio.to_thread(lambda: "a request") == "a request"
                with pytest.raises(Unavailable):
                    await responses.get("tenant:a", "resp_of_another_proxy")
        finally:
            there.set()
            responses.close()
        await asyncio.gather(*waiting, return_exceptions=True)

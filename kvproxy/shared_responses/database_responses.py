"""`DatabaseResponses`: stored responses in the PostgreSQL that proxies share: each finds what another stored."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, TimeoutError

from kvproxy.database.database import Database
from kvproxy.errors import Unavailable
from kvproxy.shared_responses.response_rows import (
    damaged_records,
    delete_record,
    key_of,
    read_record,
    size_of,
    trim_records,
    write_record,
)
from kvproxy.store.sealed_record import unseal

logger = logging.getLogger(__name__)

T = TypeVar("T")

MOST_WAITING = 64 * 2**20
"""Bytes of records that wait in memory for a database that is away; further ones are not stored."""
TRIM_S = 60.0
RETRY_S = 5
_LOOKS_S = (0.05, 0.15)
"""Pauses before a record that is not found is looked for again: another proxy has answered with it, and is writing it.
Whoever asks for what never was waits as long."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0
_THREADS, _WRITERS = 4, 2
"""Threads of its own, and those of them that write: a thread that waits for a database that is away is not missing to
requests that need none, and what waits to be written leaves room to those that ask."""


class DatabaseResponses:
    """Implements ``ResponseStore``. Event loop only, but for what blocks.

    What cannot be written waits in memory, is found there by this process, and is written when the database is back. A
    kill loses what waits.

    Example:
        ``with DatabaseResponses(database, ttl_s=86_400, max_size=2**30) as responses: ...``
    """

    def __init__(self, database: Database, *, ttl_s: float, max_size: int) -> None:
        """``ttl_s``: lifetime of a record in seconds. ``max_size`` in bytes, over all proxies: beyond it the oldest
        records of the scope that has the most go first, and one larger than a quarter of it is not kept."""
        self._database, self._ttl_ms, self._max_size = database, round(1000 * ttl_s), max_size
        self._waiting: dict[tuple[str, str], bytes] = {}
        self._writes: set[asyncio.Task[None]] = set()
        self._size = 0
        self._untrimmed = 0
        self._trimmed_at = time.monotonic()
        self._away = False
        self._closed = False
        self._threads = ThreadPoolExecutor(_THREADS, "kvproxy-responses")
        self._writers = asyncio.Semaphore(_WRITERS)

    def put(self, scope: str, id: str, record: bytes) -> asyncio.Future[None]:
        key, size = (scope, id), size_of(scope, id, record)
        if size > self._max_size // 4 or self._size + size > MOST_WAITING:
            logger.warning("response %s is not stored: there is no room for its %d bytes", id, size)
            return _done()
        self._drop_waiting(key)
        self._waiting[key] = record
        self._size += size
        task = asyncio.create_task(self._write(key, record))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return _done() if self._away else task  # nobody waits for a database that is known to be away

    async def get(self, scope: str, id: str) -> bytes | None:
        for pause_s in (0.0, *_LOOKS_S):
            if pause_s:
                await asyncio.sleep(pause_s)
            if (record := self._waiting.get((scope, id))) is not None:
                return record
            sealed = await self._on_thread(self._read, lambda db: read_record(db, scope, id))
            if sealed is not None:
                if (record := unseal(key_of(scope, id), sealed)) is None:
                    logger.error("response %s is damaged and not served", id)
                return record
        return None

    async def delete(self, scope: str, id: str) -> bool:
        waited = self._drop_waiting((scope, id))
        return await self._on_thread(self._change, lambda db: delete_record(db, scope, id)) or waited

    def check(self) -> list[str]:
        found = self._read(lambda db: [id for _, id in damaged_records(db)])
        return [f"response {id} is damaged" for id in found]

    def drop_damaged(self) -> int:
        def drop(db: Connection) -> int:
            return sum(delete_record(db, scope, id) for scope, id in list(damaged_records(db)))

        return self._change(drop)

    def close(self) -> None:
        """Write what waits, once, and end. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for task in self._writes:
            task.cancel()
        self._threads.shutdown(cancel_futures=True)
        try:
            for (scope, id), record in list(self._waiting.items()):
                self._put(scope, id, record)
        except Unavailable:
            logger.error("%d responses are not stored: the database is away", len(self._waiting))
        self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _write(self, key: tuple[str, str], record: bytes) -> None:
        """Write a record, however long the database is away; the latest wish for a key counts."""
        pause_s = 0.0
        while self._waiting.get(key) is record:
            try:
                async with self._writers:
                    if self._waiting.get(key) is not record:
                        return
                    await self._on_thread(self._put, *key, record)
            except Unavailable as e:
                self._note_away(e)
                pause_s = min(max(_FIRST_PAUSE_S, 2 * pause_s), _LONGEST_PAUSE_S)
                await asyncio.sleep(pause_s)
                continue
            self._note_back()
            if self._waiting.get(key) is record:
                self._drop_waiting(key)
                await self._trim(size_of(*key, record))
            elif key not in self._waiting:  # deleted while it was being written
                await self._on_thread(self._change, lambda db: delete_record(db, *key))

    async def _trim(self, written: int) -> None:
        """Make room from time to time: in between the size may be exceeded by some hundredths."""
        self._untrimmed += written
        now = time.monotonic()
        if self._untrimmed < self._max_size // 64 and now - self._trimmed_at < TRIM_S:
            return
        self._untrimmed, self._trimmed_at = 0, now
        try:
            await self._on_thread(self._change, lambda db: trim_records(db, self._max_size))
        except Unavailable as e:
            logger.warning("room for stored responses is made later: %s", e.message)

    def _drop_waiting(self, key: tuple[str, str]) -> bool:
        record = self._waiting.pop(key, None)
        if record is None:
            return False
        self._size -= size_of(*key, record)
        return True

    async def _on_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _put(self, scope: str, id: str, record: bytes) -> None:
        self._change(lambda db: write_record(db, scope, id, record, self._ttl_ms))

    def _read(self, read: Callable[[Connection], T]) -> T:
        with _told(), self._database.snapshot() as db:
            return read(db)

    def _change(self, change: Callable[[Connection], T]) -> T:
        with _told(), self._database.transaction() as db:
            return change(db)

    def _note_away(self, error: Unavailable) -> None:
        if not self._away:
            logger.error("responses wait in memory until the database is back: %s", error.__cause__)
        self._away = True

    def _note_back(self) -> None:
        if self._away:
            logger.warning("responses are stored again")
        self._away = False


def _done() -> asyncio.Future[None]:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


@contextmanager
def _told() -> Iterator[None]:
    """Raise Unavailable for a database that cannot be used."""
    try:
        yield
    except (DBAPIError, TimeoutError, OSError) as e:
        raise Unavailable(
            "Stored responses cannot be reached at the moment. Try again later.", retry_after_s=RETRY_S
        ) from e

"""`FileResponses`: responses that a later request may continue, in files of one process, up to a time and a size."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import diskcache

from kvproxy.errors import Unavailable
from kvproxy.store.disk import PageDisk, PickleRefused
from kvproxy.store.index_rescue import copy_sealed_records
from kvproxy.store.record_shares import RecordShares
from kvproxy.store.sealed_record import is_sealed, seal, unseal
from kvproxy.store.store_folder import index_faults, make_folder, open_index

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
SEALED = 1
"""``user_version`` of a database in which all records have seals."""
_ROW_BYTES = 256
"""Bytes of a row beside its key and its record, generously."""
_FAULTS = (sqlite3.Error, OSError, diskcache.Timeout, PickleRefused)


class FileResponses:
    """Records by (scope, id): no scope can reach another's. One thread does all I/O, in the order it was asked.

    So a record is found by every ``get`` that is asked after its ``put``, whether or not the write has ended. A full or
    failing disk costs records, never an answer: it is logged. A damaged record is not served; it stays until it
    expires, for inspection, and ``check`` names it.
    """

    def __init__(self, folder: Path, *, ttl_s: float, max_size: int) -> None:
        """Open or create ``folder``, which no other process may have open. Raises SetupError.

        ``ttl_s``: lifetime of a record in seconds. ``max_size`` in bytes: when it is reached, the oldest records of the
        scope that has the most go first, and one that is larger than a quarter of it is not kept.

        Example: ``FileResponses(store_path / "responses", ttl_s=86_400, max_size=2**30)``
        """
        self._folder = folder
        self._ttl_s = ttl_s
        self._max_record = max_size // 4
        self._shares = RecordShares(max_size)
        make_folder(folder)
        self._closed = False
        self._thread = ThreadPoolExecutor(1, "kvproxy-responses")
        try:
            self._cache: diskcache.Cache = self._thread.submit(self._open).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def put(self, scope: str, id: str, record: bytes) -> asyncio.Future[None]:
        """Write a record; it begins at once and need not be awaited. Never raises for a failing disk.

        Example: ``store.put("tenant:a", "resp_1", json.dumps(response).encode())``
        """
        return asyncio.get_running_loop().run_in_executor(self._thread, self._put, scope, id, record)

    async def get(self, scope: str, id: str) -> bytes | None:
        """Return the record, or None."""
        return await self._run(lambda: self._get(scope, id))

    async def delete(self, scope: str, id: str) -> bool:
        """Delete a record; return whether there was one. Raises Unavailable when it may still be there."""
        return await self._run(lambda: self._delete(scope, id))

    def check(self) -> list[str]:
        """Return every fault in words. Blocks."""
        return self._thread.submit(self._check).result()

    def drop_damaged(self) -> int:
        """Delete every record that fails its digest or was not written by this store; return their number. Blocks."""
        return self._thread.submit(self._drop_damaged).result()

    def close(self) -> None:
        """Wait until every record is written, and close. Idempotent."""
        if not self._closed:
            self._closed = True
            self._thread.submit(self._cache.close).result()
            self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> diskcache.Cache:
        """Open the index, and seal records of before there were seals; each damaged record is logged."""
        cache = open_index(
            self._folder, PageDisk, lambda new, old: copy_sealed_records(new, old, self._ttl_s)
        )
        # Written by a version that left it to diskcache; here it never drops a record by itself.
        cache.reset("eviction_policy", "none")
        cache.reset("cull_limit", 0)
        try:
            cache.expire()
            self._learn(cache)
        except _FAULTS as e:
            logger.error("stored responses in %s cannot all be read: %s", self._folder, e)
        return cache

    def _learn(self, cache: diskcache.Cache) -> None:
        old = cache._sql("PRAGMA user_version").fetchone() != (SEALED,)
        for key in list(cache):
            if not _is_own(key):
                continue
            try:
                value, expires = cache.get(key, expire_time=True)
            except PickleRefused as e:
                logger.error("response %s is not served: %s", _id(key), e)
                continue
            if old and isinstance(value, bytes) and not is_sealed(value):
                rest = None if expires is None else max(0.0, expires - time.time())
                value = seal(key, value)
                cache.set(key, value, expire=rest)
            if unseal(key, value) is None:
                logger.error("response %s is damaged and not served", _id(key))
            self._shares.add(key, _size(key, value), expires)
        if old:
            cache._sql(f"PRAGMA user_version = {SEALED}")

    def _put(self, scope: str, id: str, record: bytes) -> None:
        if len(record) > self._max_record:
            logger.warning(
                "response %s is not stored: its %d bytes are more than a quarter of the store",
                id,
                len(record),
            )
            return
        key = _key(scope, id)
        value = seal(key, record)
        try:
            for doomed in self._shares.make_room(key, _size(key, value), time.time()):
                self._cache.delete(doomed)
                self._shares.remove(doomed)
            self._cache.set(key, value, expire=self._ttl_s)
            self._shares.add(key, _size(key, value), time.time() + self._ttl_s)
        except _FAULTS as e:
            logger.error("response %s is not stored: %s", id, e)

    def _get(self, scope: str, id: str) -> bytes | None:
        key = _key(scope, id)
        try:
            value = self._cache.get(key)
        except _FAULTS as e:
            logger.error("response %s cannot be read: %s", id, e)
            return None
        record = unseal(key, value)
        if record is None and value is not None:
            logger.error("response %s is damaged and not served", id)
        return record

    def _delete(self, scope: str, id: str) -> bool:
        try:
            self._shares.remove(_key(scope, id))
            return bool(self._cache.delete(_key(scope, id)))
        except _FAULTS as e:
            raise Unavailable("Stored responses cannot be reached at the moment. Try again later.") from e

    def _drop_damaged(self) -> int:
        damaged = []
        for key in list(self._cache.iterkeys()):
            try:
                value = self._cache.get(key) if _is_own(key) else None
            except _FAULTS:
                value = None
            if not _is_own(key) or unseal(key, value) is None:
                damaged.append(key)
        for key in damaged:
            if isinstance(key, str):
                self._shares.remove(key)
            self._cache.delete(key)
        return len(damaged)

    def _check(self) -> list[str]:
        faults = index_faults(self._folder)
        for key in self._cache.iterkeys():
            if not _is_own(key):
                faults.append(f"a key that this store did not write: {key!r}")
                continue
            try:
                value = self._cache.get(key)
            except _FAULTS as e:
                faults.append(f"response {_id(key)}: {e}")
                continue
            if value is not None and unseal(key, value) is None:
                faults.append(f"response {_id(key)} is damaged")
        return faults


def _key(scope: str, id: str) -> str:
    """Join scope and id. Scopes come from the server and hold no line end, so no id can be read as part of one."""
    return f"{scope}\n{id}"


def _is_own(key: object) -> bool:
    return isinstance(key, str) and "\n" in key


def _id(key: str) -> str:
    return key.partition("\n")[2]


def _size(key: str, value: object) -> int:
    return len(key) + _ROW_BYTES + (len(value) if isinstance(value, bytes) else 0)

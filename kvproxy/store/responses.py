"""Stored responses: what a caller's later request may continue, for a while and up to a size."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import diskcache

from kvproxy.errors import Unavailable
from kvproxy.store.disk import PageDisk, PickleRefused
from kvproxy.store.index import index_faults, make_folder, open_index

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_EVICTION = "least-recently-stored"
_FAULTS = (sqlite3.Error, OSError, diskcache.Timeout, PickleRefused)


class ResponseStore:
    """Records by (scope, id): no scope can reach another's. One thread does all I/O, in the order it was asked.

    So what was put is found by every ``get`` that is asked later, whether or not the write has ended.
    A full or failing disk costs records, never an answer: it is logged.
    """

    def __init__(self, folder: Path, *, ttl_s: float, max_size: int) -> None:
        """Open or create ``folder``, which nobody else may have open. ``max_size`` in bytes: the oldest records
        go first, and one that is larger than a quarter of it is not kept. Raises SetupError."""
        self._folder = folder
        self._ttl_s = ttl_s
        self._max_record = max_size // 4
        make_folder(folder)
        self._closed = False
        self._thread = ThreadPoolExecutor(1, "kvproxy-responses")
        try:
            self._cache: diskcache.Cache = self._thread.submit(self._open, max_size).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def put(self, scope: str, id: str, record: bytes) -> asyncio.Future[None]:
        """Begins at once; need not be awaited. Never raises for what the disk does."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self._put, scope, id, record)

    async def get(self, scope: str, id: str) -> bytes | None:
        return await self._run(lambda: self._get(scope, id))

    async def delete(self, scope: str, id: str) -> bool:
        """Whether there was one. Raises Unavailable when it may still be there."""
        return await self._run(lambda: self._delete(scope, id))

    def check(self) -> list[str]:
        """Every fault in words. Blocks."""
        return self._thread.submit(self._check).result()

    def close(self) -> None:
        """Returns when what was put is written. Idempotent."""
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

    def _open(self, max_size: int) -> diskcache.Cache:
        cache = open_index(self._folder, PageDisk)
        cache.reset("eviction_policy", _EVICTION)
        cache.reset("size_limit", max_size)
        cache.reset("cull_limit", 16)
        cache.expire()
        return cache

    def _put(self, scope: str, id: str, record: bytes) -> None:
        if len(record) > self._max_record:
            logger.warning("response %s is not kept: its %d bytes are too many", id, len(record))
            return
        try:
            self._cache.set(_key(scope, id), record, expire=self._ttl_s)
        except _FAULTS as e:
            logger.error("response %s is not kept: %s", id, e)

    def _get(self, scope: str, id: str) -> bytes | None:
        try:
            record = self._cache.get(_key(scope, id))
        except _FAULTS as e:
            logger.error("response %s cannot be read: %s", id, e)
            return None
        return record if isinstance(record, bytes) else None

    def _delete(self, scope: str, id: str) -> bool:
        try:
            return bool(self._cache.delete(_key(scope, id)))
        except _FAULTS as e:
            raise Unavailable("Stored responses cannot be reached at the moment.") from e

    def _check(self) -> list[str]:
        faults = index_faults(self._folder)
        for key in self._cache.iterkeys():
            if not isinstance(key, str) or "\n" not in key:
                faults.append(f"a key that this store did not make: {key!r}")
        return faults


def _key(scope: str, id: str) -> str:
    """Scopes come from the server and hold no line end, so no id can be read as part of one."""
    return f"{scope}\n{id}"

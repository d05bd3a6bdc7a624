"""`FairThreads`: a thread pool that serves tenants in turn, so that one tenant's queue does not delay another's."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class FairThreads:
    """A thread pool with a queue for each tenant.

    Any thread may call it; calls of one tenant begin in the order asked.
    """

    def __init__(self, most: int, name: str) -> None:
        """Start ``most`` threads at most; ``name`` begins each thread's name."""
        self._pool = ThreadPoolExecutor(max_workers=most, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._waiting: dict[str | None, deque[Callable[[], None]]] = {}
        """Calls by tenant; the first tenant is served next."""
        self._futures: set[Future[Any]] = set()

    def submit(self, tenant: str | None, function: Callable[..., T], *args: object) -> Future[T]:
        """Queue ``function(*args)`` for a tenant and return its future. Raises RuntimeError after :meth:`shutdown`.

        Example: ``threads.submit("tenant:a", store.get, key, parent, token_ids).result()``
        """
        future: Future[T] = Future()

        def call() -> None:
            self._futures.discard(future)
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function(*args))
            except BaseException as e:
                future.set_exception(e)

        with self._lock:
            self._pool.submit(self._next)  # waits for the lock, if it comes at once
            self._waiting.setdefault(tenant, deque()).append(call)
            self._futures.add(future)
        return future

    def _next(self) -> None:
        with self._lock:
            tenant = next(iter(self._waiting))
            calls = self._waiting.pop(tenant)
            call = calls.popleft()
            if calls:
                self._waiting[tenant] = calls
        call()

    def shutdown(self) -> None:
        """Wait for the calls that have begun; cancel the others. Idempotent."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            self._waiting.clear()
            left, self._futures = self._futures, set()
        for future in left:
            future.cancel()

"""Moves pages between the pool and a store, off the engine's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from kvproxy.engine.index import Node
from kvproxy.store.pages import Loaded, Missing, Rejected

logger = logging.getLogger(__name__)


class Store(Protocol):
    """What the engine needs of ``kvproxy.store.pages.PageStore``."""

    def put(self, key: bytes, parent: bytes, token_ids: Sequence[int], payload: bytes) -> None: ...

    def get(self, key: bytes, parent: bytes, token_ids: Sequence[int]) -> Loaded | Missing | Rejected: ...

    def has(self, key: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class Read:
    node: Node
    result: Loaded | Missing | Rejected


@dataclass(frozen=True, slots=True)
class Written:
    node: Node
    error: Exception | None


class PageIO:
    """``done`` is called on an I/O thread with each result; the engine passes it to its own thread."""

    def __init__(self, store: Store | None, done: Callable[[Callable[[], None]], None]) -> None:
        self._store = store
        self._done = done
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="kvproxy-pages")

    @property
    def has_store(self) -> bool:
        return self._store is not None

    def has(self, key: bytes) -> bool:
        return self._store is not None and self._store.has(key)

    def read(self, node: Node, then: Callable[[Read], None]) -> None:
        """Read a stored page; ``then`` runs on the engine's thread."""
        assert self._store is not None
        future = self._threads.submit(self._store.get, node.key, node.parent_key, node.token_ids)

        def finish(done: Future[Loaded | Missing | Rejected]) -> None:
            if done.cancelled():
                return  # The engine has stopped; nobody waits.
            error = done.exception()
            result = Rejected(f"reading failed: {error}") if error is not None else done.result()
            self._done(lambda: then(Read(node, result)))

        future.add_done_callback(finish)

    def write(self, node: Node, payload: bytes, then: Callable[[Written], None]) -> None:
        """Write a page; ``then`` runs on the engine's thread when it is durable, or has failed."""
        assert self._store is not None
        future = self._threads.submit(self._store.put, node.key, node.parent_key, node.token_ids, payload)

        def finish(done: Future[None]) -> None:
            if done.cancelled():
                return
            error = done.exception()
            if error is not None and not isinstance(error, Exception):
                raise error
            self._done(lambda: then(Written(node, error)))

        future.add_done_callback(finish)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

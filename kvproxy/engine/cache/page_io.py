"""`PageIO`: moves pages between the pool and a store or the spill tier, on I/O threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from kvproxy.core import owner_of, stored_key
from kvproxy.engine.cache.fair_threads import FairThreads
from kvproxy.engine.cache.page_pool import PagePool
from kvproxy.engine.cache.page_room import PageRoom
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.engine.cache.spill_tier import SpillTier
from kvproxy.store.page_results import Buffer, LayerRoom, Loaded, Missing, Rejected
from kvproxy.store.stored_pages import Tier

_THREADS = 2
_FAR_THREADS = 4
"""Threads that wait for an object store: its answers take long, and no local page waits behind them."""


class DurablePages(Protocol):
    """Protocol of a durable page store, as the engine uses ``kvproxy.store.page_store.PageStore``.

    Methods may be called from any thread, and raise and return as PageStore's do.
    """

    def put(
        self,
        key: bytes,
        parent: bytes,
        token_ids: Sequence[int],
        payload: bytes,
        owner: str | None = None,
    ) -> None:
        """See ``PageStore.put``.

        Example: ``store.put(key, parent_key, token_ids, payload, owner)``
        """

    def get(
        self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | LayerRoom | None = None
    ) -> Loaded | Missing | Rejected:
        """See ``PageStore.get``.

        Example: ``store.get(key, parent_key, token_ids, into=buffer)``
        """

    def has(self, key: bytes) -> bool:
        """See ``PageStore.has``."""

    def tier(self, key: bytes) -> Tier | None:
        """See ``StoredPages.tier``."""


@dataclass(frozen=True, slots=True)
class PageRead:
    """The result of reading one node's page."""

    node: Node
    result: Loaded | Missing | Rejected
    seconds: float = field(default=0.0, compare=False)
    """Duration of the reading alone, its checksums and the writing to the pool's page included."""
    far: bool = field(default=False, compare=False)
    """Whether it was to come from an object store: its duration says nothing about reads from disk."""


@dataclass(frozen=True, slots=True)
class PageWritten:
    """The result of writing one node's page; ``error`` is None when it is durable."""

    node: Node
    page: int
    """Page of the pool that it was copied from."""
    error: Exception | None


class PageIO:
    """Page I/O. ``done`` is called on an I/O thread with each result; the engine passes it to its own thread."""

    def __init__(
        self,
        store: DurablePages | None,
        pool: PagePool,
        done: Callable[[Callable[[], None]], None],
        spill: SpillTier | None = None,
    ) -> None:
        """Start the I/O threads.

        Example: ``PageIO(store, cache.pool, engine.call, spill=None)``
        """
        self._store, self._pool = store, pool
        self._done = done
        self._spill = spill
        self._closing = False
        self._own = threading.local()
        self._threads = FairThreads(_THREADS, "kvproxy-pages")
        # An object store that stalls must not hold up reads of local files.
        self._far_threads = FairThreads(_FAR_THREADS, "kvproxy-far-pages")

    @property
    def has_store(self) -> bool:
        """Whether there is a durable store."""
        return self._store is not None

    def has(self, node: Node) -> bool:
        """Return whether the durable store lists the node's page."""
        return self._store is not None and self._store.has(stored_key(node.key, node.scope))

    def far(self, node: Node) -> bool:
        """Return whether the node's page must come from an object store. No I/O."""
        if self._store is None or (node.spilled and not node.stored):
            return False
        return self._store.tier(stored_key(node.key, node.scope)) == "objects"

    def read(
        self, node: Node, page: int, then: Callable[[PageRead], None], tenant: str | None = None
    ) -> Future[None]:
        """Read a stored or spilled page into ``page`` of the pool; ``then`` runs on the engine's thread.

        The caller holds the page until then, and nobody reads it; without Loaded its content is undefined. A tenant's
        reads begin in the order asked, in turn with other tenants'. Cancelling the future, which fails once the read
        has begun, gives the page back at once: ``then`` is not called.

        Example: ``io.read(node, cache.take(None, whole=node.full), loads.page_read, tenant="tenant:a")``
        """
        read, far = self._reader(node), self.far(node)

        def work() -> None:
            if self._closing:
                return
            room = PageRoom(self._pool, page, len(node.token_ids), self._scratch())
            began = time.perf_counter()
            try:
                result = read(room)
                if isinstance(result, Loaded) and result.payload:
                    room.write(result.payload)
            except Exception as e:
                result = Rejected(f"reading failed: {e}")
            seconds = time.perf_counter() - began
            self._done(lambda: then(PageRead(node, result, seconds, far)))

        return (self._far_threads if far else self._threads).submit(tenant, work)

    def _scratch(self) -> memoryview:
        """Return this thread's memory for one layer of a page."""
        kept: memoryview | None = getattr(self._own, "scratch", None)
        if kept is None:
            kept = self._own.scratch = memoryview(
                bytearray(self._pool.shape.bytes // self._pool.shape.layers)
            )
        return kept

    def _reader(self, node: Node) -> Callable[[LayerRoom], Loaded | Missing | Rejected]:
        if node.spilled and not node.stored:
            assert self._spill is not None
            return self._spill.reader(node)
        assert self._store is not None
        return partial(self._store.get, stored_key(node.key, node.scope), node.parent_key, node.token_ids)

    def write(
        self, node: Node, page: int, then: Callable[[PageWritten], None], owner: str | None = None
    ) -> None:
        """Write a node's page of the pool; ``then`` runs on the engine's thread when it is durable, or has failed.

        The page is copied on the I/O thread: the caller holds it until then, and nobody changes a registered page.
        ``owner`` as in ``PageStore.put``.

        Example: ``io.write(node, cache.share(node), next_page, owner="tenant:a")``
        """
        assert self._store is not None
        store, tenant = self._store, owner or owner_of(node.scope)

        def work() -> None:
            payload = self._pool.read(page, len(node.token_ids))
            store.put(stored_key(node.key, node.scope), node.parent_key, node.token_ids, payload, owner)

        future = self._threads.submit(tenant, work)

        def finish(done: Future[None]) -> None:
            if done.cancelled():
                return
            error = done.exception()
            if error is not None and not isinstance(error, Exception):
                raise error
            self._done(lambda: then(PageWritten(node, page, error)))

        future.add_done_callback(finish)

    def close(self) -> None:
        """Wait for the calls that have begun, and drop their results."""
        self._closing = True
        self._threads.shutdown()
        self._far_threads.shutdown()

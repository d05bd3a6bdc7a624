"""`PageLoads`: stored pages on their way into memory, each read once, whoever waits for it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_io import PageIO, PageRead
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.store.page_results import Loaded, Missing

logger = logging.getLogger(__name__)

READ_AHEAD = 4
"""Pages of one sequence that are being read at a time while others must be evicted for them: an eviction may copy a
page, on the engine's thread, which goes on with its tiles between two of them."""
READ_AHEAD_FREE = 32
"""The same while pages are free, which cost nothing to take: a long tile then finds more of them loaded at its end."""


class Waiter(Protocol):
    """Protocol of a sequence that waits for pages. ``reserved`` counts pages that were set aside for it."""

    reserved: int

    @property
    def tenant(self) -> str | None:
        """Tenant whose turn its reads are."""


W = TypeVar("W", bound=Waiter)


@dataclass(slots=True)
class _Wait:
    """One waiter's pages: those not asked for yet, in order, and the number of those that have not arrived."""

    then: Callable[[], None]
    ahead: deque[Node]
    missing: int
    reading: int = 0
    last: int | None = None
    """Page that was taken last: the next one is taken beside it, where possible."""


@dataclass(slots=True)
class _Load(Generic[W]):
    page: int
    reading: Future[None]
    waiters: list[W] = field(default_factory=list)


class PageLoads(Generic[W]):
    """Loads of stored and spilled pages, straight into pages of the pool. Engine thread only.

    A page that is being read belongs to its load, not to the sequence that asked first: that one may leave, and others
    may wait for the same page, which is read once.
    """

    def __init__(self, cache: KVCache, io: PageIO, fail: Callable[[W, Exception], None]) -> None:
        """``fail`` ends a waiter for which no page could be taken, or whose ``then`` raised."""
        self._cache, self._io, self._fail = cache, io, fail
        self._waits: dict[W, _Wait] = {}
        self._loads: dict[Node, _Load[W]] = {}

    @property
    def pages(self) -> list[int]:
        """Pages of the pool that are being read into."""
        return [load.page for load in self._loads.values()]

    def begin(self, waiter: W, nodes: Sequence[Node], then: Callable[[], None]) -> None:
        """Load nodes without a page, in order; ``then`` is called once each has arrived, or was rejected and is gone.

        The nodes are retained, and a page is reserved for each: ``waiter.reserved`` falls by one for each that is read
        for it. A rejected node is left without a page. Raises what taking a page raises.

        Example: ``loads.begin(sequence, missing, then=lambda: attach(sequence))``
        """
        self._waits[waiter] = _Wait(then, deque(nodes), len(nodes))
        try:
            self._ask(waiter)
        except BaseException:
            self.forget(waiter)
            raise

    def forget(self, waiter: W) -> None:
        """Stop waiting: what is being read for it stays, and what was not begun is given up. Idempotent."""
        if self._waits.pop(waiter, None) is None:
            return
        for node, load in [*self._loads.items()]:
            if waiter in load.waiters:
                load.waiters.remove(waiter)
                if not load.waiters and load.reading.cancel():
                    del self._loads[node]
                    self._cache.return_pages([load.page])
                    self._cache.release([node])

    def _go_on(self, waiters: Iterable[W]) -> None:
        for waiter in waiters:
            try:
                self._ask(waiter)
                wait = self._waits.get(waiter)
                if wait is not None and wait.missing == 0:
                    del self._waits[waiter]
                    wait.then()
            except Exception as e:
                self.forget(waiter)
                self._fail(waiter, e)

    def _ask(self, waiter: W) -> None:
        """Begin as many reads as may be ahead of the engine's thread."""
        wait = self._waits.get(waiter)
        while wait is not None and wait.ahead:
            most = READ_AHEAD_FREE if self._cache.pool.free else READ_AHEAD
            if wait.reading >= most:
                return
            node = wait.ahead.popleft()
            if node.page is not None:  # loaded for another sequence meanwhile
                wait.missing -= 1
                continue
            load = self._loads.get(node)
            if load is None:
                page = self._cache.take(wait.last, whole=node.full)
                waiter.reserved -= 1
                wait.last = page
                self._cache.retain(
                    [node]
                )  # cannot fail: the waiter does, and may leave before the page is there
                reading = self._io.read(node, page, self._arrived, waiter.tenant)
                load = self._loads[node] = _Load(page, reading)
            load.waiters.append(waiter)
            wait.reading += 1

    def _arrived(self, read: PageRead) -> None:
        node, load = read.node, self._loads.pop(read.node)
        if isinstance(read.result, Loaded):
            self._cache.costs.loaded(read.seconds, far=read.far)
            self._cache.attach_loaded(node, load.page)
        else:
            self._cache.return_pages([load.page])
            if node.page is None:
                self._reject(
                    node, "it is missing" if isinstance(read.result, Missing) else read.result.reason
                )
        self._cache.release([node])
        for waiter in load.waiters:
            wait = self._waits[waiter]
            wait.missing -= 1
            wait.reading -= 1
        self._go_on(load.waiters)

    def _reject(self, node: Node, reason: str) -> None:
        logger.warning(
            "stored page %s (tokens %d-%d) is not used and will be computed again: %s",
            node.key.hex()[:16],
            node.index * PAGE_TOKENS,
            node.index * PAGE_TOKENS + len(node.token_ids),
            reason,
        )
        self._cache.discard_if_absent(node)

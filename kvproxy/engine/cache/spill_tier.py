"""The spill tier, below memory: evicted pages go to disk before they are dropped, and come back with the same bits.

Kept for this run only: the index is lost with the process, and with it the right to read a page, which is its node's,
not its file's. Each node has a file of its own: two tenants with the same text share nothing that either of them could
notice.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from kvproxy.engine.cache.page_costs import PageCosts
from kvproxy.engine.cache.page_pool import PagePool
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.engine.cache.write_health import WriteHealth
from kvproxy.store.page_results import Buffer, LayerRoom, Loaded, Missing, Rejected

logger = logging.getLogger(__name__)

PENDING = 4
"""Pages that may wait to be written; with as many waiting, a page is dropped rather than waited for. Their memory is
taken at the start: it is beside the page budget, and must not be found missing under pressure."""

_SLACK = 2 * 4096
"""Bytes of a file beside its payload, generously."""


class SpillFiles(Protocol):
    """Protocol of the tier's files, as ``kvproxy.store.spill_files.SpillFolder`` implements it."""

    @property
    def max_size(self) -> int:
        """Bytes that the files may take in all."""

    def put(self, name: str, key: bytes, parent: bytes, token_ids: Sequence[int], payload: Buffer) -> None:
        """See ``SpillFolder.put``.

        Example: ``files.put(name, key, parent_key, token_ids, payload)``
        """

    def get(
        self,
        name: str,
        key: bytes,
        parent: bytes,
        token_ids: Sequence[int],
        into: Buffer | LayerRoom | None = None,
    ) -> Loaded | Missing | Rejected:
        """See ``SpillFolder.get``.

        Example: ``files.get(name, key, parent_key, token_ids, into=buffer)``
        """

    def delete(self, name: str) -> None:
        """See ``SpillFolder.delete``."""

    def clear(self) -> None:
        """See ``SpillFolder.clear``."""


@dataclass(eq=False, slots=True)
class SpillCopy:
    """One node's copy in the tier."""

    node: Node
    name: str
    """Name of its file."""
    bytes: int
    """Size of its payload: the used positions alone."""
    pending: bytearray | None
    """The page until it is on disk; its first ``bytes`` bytes count."""


class SpillTier:
    """Copies of evicted pages on disk. Engine thread only; one thread of its own writes and deletes, in the order
    asked.

    When the tier is full, pages that left memory longest ago are dropped, if no other node hangs below them: chains
    leave memory last page first, so they leave the tier in that order too. Pages leave memory in the order of their
    value, and reads cost alike, so there is no better order to be had from costs.
    """

    def __init__(
        self,
        files: SpillFiles,
        pool: PagePool,
        costs: PageCosts,
        *,
        lost: Callable[[Node], None],
        failed: Callable[[Node], None],
        done: Callable[[Callable[[], None]], None],
    ) -> None:
        """Start the writer thread.

        ``lost`` and ``failed`` forget nodes of which the tier had the only copy, and call :meth:`forget`: ``lost`` from
        within :meth:`begin_copy`, ``failed`` from the engine's thread, to which ``done`` passes calls.

        Example: ``SpillTier(files, pool, costs, lost=evictor.lost, failed=cache.discard_if_absent, done=engine.call)``
        """
        self._files, self._pool, self._costs = files, pool, costs
        self._lost, self._failed, self._done = lost, failed, done
        self._room = files.max_size
        self._copies: OrderedDict[Node, SpillCopy] = OrderedDict()
        self._buffers = [bytearray(pool.shape.bytes) for _ in range(PENDING)]
        self._waiting = 0
        self._names = count()
        self._closed = False
        self.health = WriteHealth("pages that are evicted are dropped, not spilled,")
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kvproxy-spill")

    def __len__(self) -> int:
        return len(self._copies)

    @property
    def pending(self) -> int:
        """Pages that wait to be written."""
        return self._waiting

    def begin_copy(self, node: Node) -> SpillCopy | None:
        """Make room for a copy of the node's page, or return None when it is not worth it, or cannot be done now.

        :meth:`fill`, then :meth:`commit`, or :meth:`abandon` must follow.
        """
        worth = self._costs.worth_spilling(node.index, len(node.token_ids))
        if not worth or self._waiting >= PENDING or not self.health.may_write():
            return None
        size = self._pool.shape.bytes_of(len(node.token_ids))
        if not self._make_room(size + _SLACK):
            return None
        self._room -= size + _SLACK
        self._waiting += 1
        return SpillCopy(node, f"{next(self._names):x}", size, self._buffers.pop())

    def fill(self, copy: SpillCopy, page: int) -> None:
        """Copy the page. Slow, and to be called without the cache's lock: it touches nothing that is shared."""
        assert copy.pending is not None
        self._pool.read_into(page, copy.pending, len(copy.node.token_ids))

    def commit(self, copy: SpillCopy) -> None:
        """Make the copy the node's, and queue its write to disk."""
        node = copy.node
        assert copy.pending is not None
        payload = memoryview(copy.pending)[: copy.bytes]
        future = self._writer.submit(
            self._files.put, copy.name, node.key, node.parent_key, node.token_ids, payload
        )

        def finish(done: Future[None]) -> None:
            if not done.cancelled():
                self._done(lambda: self._written(copy, done.exception()))

        self._copies[node] = copy
        future.add_done_callback(finish)

    def abandon(self, copy: SpillCopy) -> None:
        """Give back the room of a copy that could not be filled."""
        self._room += copy.bytes + _SLACK
        self._waiting -= 1
        assert copy.pending is not None
        self._buffers.append(copy.pending)

    def note_eviction(self, node: Node) -> None:
        """Record that a node that has a copy has left memory again."""
        self._copies.move_to_end(node)

    def reader(self, node: Node) -> Callable[[Buffer | LayerRoom | None], Loaded | Missing | Rejected]:
        """Return a function that reads the node's page, on any thread; one that waits to be written comes as a payload.

        Its argument is as ``into`` of ``SpillFolder.get``.
        """
        copy = self._copies.get(node)
        if copy is None:
            return lambda into: Missing()
        if copy.pending is not None:
            loaded = Loaded(memoryview(copy.pending[: copy.bytes]))  # the buffer will be another page's
            return lambda into: loaded
        name, files = copy.name, self._files
        return lambda into: files.get(name, node.key, node.parent_key, node.token_ids, into)

    def forget(self, node: Node) -> None:
        """Drop the node's copy and delete its file."""
        copy = self._copies.pop(node)
        self._room += copy.bytes + _SLACK
        if not self._closed:
            self._writer.submit(self._files.delete, copy.name)

    def close(self) -> None:
        """Forget all. Idempotent. No other call may be in progress."""
        self._closed = True
        self._writer.shutdown(wait=True, cancel_futures=True)
        try:
            self._files.clear()
        except OSError as e:
            logger.warning(
                "spilled pages stay on disk until the next start, which removes them: %s", e.strerror
            )

    def _make_room(self, size: int) -> bool:
        while self._room < size:
            node = next(
                (n for n in self._copies if n.page is not None or not (n.children or n.retained)), None
            )
            if node is None:
                return False
            self._lost(node)
        return True

    def _written(self, copy: SpillCopy, error: BaseException | None) -> None:
        self._waiting -= 1
        assert copy.pending is not None
        self._buffers.append(copy.pending)
        copy.pending = None
        if error is None:
            self.health.wrote()
            return
        self.health.failed(error)
        if self._copies.get(copy.node) is copy:
            self._failed(copy.node)

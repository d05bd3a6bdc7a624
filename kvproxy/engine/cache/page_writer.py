"""`PageWriter`: writes registered pages to the store, one after another, so that a long document is in memory once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_io import PageIO, PageWritten
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.errors import Overloaded, Unavailable

logger = logging.getLogger(__name__)

_BUSY = "running requests need the memory that storing these pages takes; try again in a moment"


class PageWriter:
    """Writes nodes' pages. Engine thread only; the writing itself happens on the I/O threads."""

    def __init__(self, cache: KVCache, io: PageIO) -> None:
        self._cache = cache
        self._io = io
        self._restoring: set[Node] = set()

    def save(
        self, nodes: Sequence[Node], done: Callable[[Exception | None], None], owner: str | None = None
    ) -> None:
        """Write all nodes that are not stored; then call ``done``, with the first error if there was one.

        ``owner`` as in ``PageStore.put``. The nodes are retained meanwhile; where that would break a reservation,
        ``done`` gets Overloaded: the sequence may have pages of its own for them. Pages written before an error stay:
        they are whole, and found again.

        Example: ``writer.save(nodes, done=publication.stored, owner="tenant:a")``
        """
        todo = [n for n in nodes if not (n.stored and self._io.has(n))]
        if not self._cache.retain(nodes):
            done(Overloaded(_BUSY, retry_after_s=1))
            return

        def end(error: Exception | None) -> None:
            self._cache.release(nodes)
            done(error)

        def next_page(written: PageWritten | None = None) -> None:
            if written is not None:
                if written.error is not None:
                    end(written.error)
                    return
                self._cache.mark_stored(written.node)
            if not todo or not self._io.has_store:
                end(None)
                return
            node = todo.pop(0)
            if node.page is None:
                end(Unavailable("the document was deleted while it was being stored"))
                return
            try:
                payload = self._cache.pool.read(node.page, len(node.token_ids))
                self._io.write(node, payload, next_page, owner)
            except Exception as e:  # a page's copy is memory beside the page budget
                end(e)

        next_page()

    def restore(self, nodes: Sequence[Node]) -> None:
        """Write pages of a published document that a request had to compute again. Best effort."""
        new = [n for n in nodes if not n.stored and n not in self._restoring]
        if not new or not self._io.has_store:
            return
        self._restoring.update(new)

        def done(error: Exception | None) -> None:
            self._restoring.difference_update(new)
            if error is not None:
                logger.warning("pages that were computed again could not be stored: %s", error)

        self.save(new, done)

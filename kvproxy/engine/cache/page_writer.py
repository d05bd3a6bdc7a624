"""`PageWriter`: writes registered pages to the store, one after another, so that a long document is in memory once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_io import PageIO, PageWritten
from kvproxy.engine.cache.prefix_index import Node
from kvproxy.engine.cache.write_health import WriteHealth
from kvproxy.errors import Overloaded, Unavailable


class _Forgotten(Unavailable):
    """The node was forgotten before its page was written: its document is gone."""


_BUSY = "running requests need the memory that storing these pages takes; try again in a moment"


class PageWriter:
    """Writes nodes' pages. Engine thread only; the writing itself happens on the I/O threads."""

    def __init__(self, cache: KVCache, io: PageIO) -> None:
        self._cache = cache
        self._io = io
        self._restoring: set[Node] = set()
        self._writing: list[int] = []
        self.health = WriteHealth("pages of documents that requests computed again are kept in memory alone")

    @property
    def pages(self) -> list[int]:
        """Pages of the pool that are being copied and written."""
        return self._writing.copy()

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
                self._writing.remove(written.page)
                self._cache.return_pages([written.page])
                if written.error is not None:
                    end(written.error)
                    return
                self._cache.mark_stored(written.node)
                self.health.wrote()
            if not todo or not self._io.has_store:
                end(None)
                return
            node = todo.pop(0)
            if node.page is None:
                end(_Forgotten("the document was deleted while it was being stored"))
                return
            # Held meanwhile: should its document be deleted, the page is not another's before it was copied.
            page = self._cache.share(node)
            self._writing.append(page)
            self._io.write(node, page, next_page, owner)

        next_page()

    def restore(self, nodes: Sequence[Node]) -> None:
        """Write pages of a published document that a request had to compute again, behind its answer. Best effort.

        While the disk refuses pages they stay in memory as others do, and the next request for them tries again.
        """
        new = [n for n in nodes if not n.stored and n not in self._restoring]
        if not new or not self._io.has_store or not self.health.may_write():
            return
        self._restoring.update(new)

        def done(error: Exception | None) -> None:
            self._restoring.difference_update(new)
            # That memory is short, or a document gone, says nothing about the disk.
            if error is not None and not isinstance(error, Overloaded | _Forgotten):
                self.health.failed(error)

        self.save(new, done)

"""`PageRoom`: a page of the pool as the place that a stored page is read to."""

from __future__ import annotations

from kvproxy.engine.cache.page_pool import PagePool


class PageRoom:
    """A ``LayerRoom`` in a page of the pool. One I/O thread at a time; nobody reads the page before it is whole.

    A layer is read and verified in ``scratch``, small enough for the processor's cache, and written from there in the
    kernels' layout: what is verified is what is written, and the numbers cross memory once.
    """

    def __init__(self, pool: PagePool, page: int, positions: int, scratch: memoryview) -> None:
        """``scratch``: writable memory of at least one layer of a whole page."""
        self._pool, self._page, self._positions, self._scratch = pool, page, positions, scratch
        self._layer_bytes = pool.shape.bytes_of(positions) // pool.shape.layers

    def room(self, layer: int, size: int) -> memoryview:
        """Return memory for one layer. Raises ValueError for another size than this page's layers have.

        Example: ``target = room.room(0, 196_608)``
        """
        if size != self._layer_bytes or layer >= self._pool.shape.layers:
            raise ValueError(f"layer {layer} of {size} bytes, a page here has {self._layer_bytes}")
        return self._scratch[:size]

    def filled(self, layer: int) -> None:
        """Write a layer to the page."""
        self._pool.write_layer(self._page, layer, self._scratch[: self._layer_bytes], self._positions)

    def write(self, payload: memoryview) -> None:
        """Write a whole page that lies in memory. Raises ValueError for another size."""
        self._pool.write(self._page, payload, self._positions)

"""`PagePool`: one tensor for the KV of all pages, and each page's number of holders."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.core.page_form import ElementType, PageForm
from kvproxy.engine.cache.page_layout import PageLayout, RowMajorLayout

SCRATCH = 0
"""Page 0 is never handed out and never attended to: padding rows write to it."""
ALIGNMENT = 64
"""Bytes of a line of the processor's cache: kernels read pages by whole lines."""

_ELEMENTS: Mapping[torch.dtype, ElementType] = MappingProxyType(
    {torch.bfloat16: "bfloat16", torch.float16: "float16", torch.float32: "float32"}
)


@dataclass(frozen=True, slots=True)
class PageShape:
    """Shape and dtype of one page: [layers, 2, kv_heads, PAGE_TOKENS, head_dim]. ``bytes``: K and V of all layers."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """Bytes of one page: K and V of all layers for PAGE_TOKENS positions."""
        return self.bytes_of(PAGE_TOKENS)

    @property
    def form(self) -> PageForm:
        """The same shape, as stores and codecs know it, without torch."""
        return PageForm(self.layers, self.kv_heads, self.head_dim, _ELEMENTS[self.dtype])

    def bytes_of(self, positions: int) -> int:
        """Return the bytes of the first ``positions`` positions of one page."""
        return self.layers * 2 * self.kv_heads * positions * self.head_dim * self.dtype.itemsize


class PagePool:
    """The KV of all pages in one tensor, and the number of holders of each.

    ``kv``: [layers, 2, kv_heads, pages, PAGE_TOKENS, head_dim], for the kernels that know its ``layout``; all others
    read and write row-major positions by the methods below.

    A page is free, or held by one or more holders (sequences, index nodes), which ``refs`` counts. Not thread safe: the
    cache's lock guards the counts; the content of a page is its holders' to guard.
    """

    def __init__(
        self, shape: PageShape, pages: int, device: torch.device, layout: PageLayout | None = None
    ) -> None:
        """Reserve the tensor; ``pages`` counts the scratch page. Raises ValueError for fewer than two.

        ``layout``: that of the kernels which read the pages, row-major by default.

        Example: ``PagePool(PageShape(30, 3, 64, torch.bfloat16), pages=1024, device=torch.device("cpu"))``
        """
        if pages < 2:
            raise ValueError("a pool needs at least one page beside the scratch page")
        self.shape = shape
        self._layout = layout or RowMajorLayout()
        self.kv = _zeros(
            (shape.layers, 2, shape.kv_heads, pages, PAGE_TOKENS, shape.head_dim), shape.dtype, device
        )
        self.refs = [0] * pages
        self.refs[SCRATCH] = 1
        self._free = list(range(1, pages))
        self._is_free = [False] + [True] * (pages - 1)
        self._is_blank = [True] * pages
        self._free_count = pages - 1

    @property
    def total(self) -> int:
        """Pages that can be handed out; the scratch page is not counted."""
        return len(self.refs) - 1

    @property
    def free(self) -> int:
        """Number of pages without a holder."""
        return self._free_count

    def allocate(self, after: int | None = None) -> int:
        """Take a free page with one holder, next to page ``after`` where possible. :meth:`clear` it before use.

        Neighbours are read faster: memory is fetched ahead in its order. Raises MemoryError when none is free.
        """
        page = -1
        if after is not None and after + 1 < len(self.refs) and self._is_free[after + 1]:
            page = after + 1
        else:
            while self._free:
                candidate = heapq.heappop(self._free)
                if self._is_free[candidate]:
                    page = candidate
                    break
        if page < 0:
            raise MemoryError("no free page")
        self._is_free[page] = False
        self._free_count -= 1
        self.refs[page] = 1
        return page

    def clear(self, page: int) -> None:
        """Fill a page that was just allocated with zeros.

        Positions that were never written are read with a weight of 0, and 0 * NaN is NaN.
        """
        if not self._is_blank[page]:
            self.kv[:, :, :, page].zero_()
        self._is_blank[page] = False

    def overwrite(self, page: int) -> None:
        """Take a page that was just allocated as it is, instead of :meth:`clear`: every position will be written."""
        self._is_blank[page] = False

    def add_holder(self, page: int) -> None:
        """Count one more holder of a held page."""
        assert self.refs[page] > 0, "only a held page can get another holder"
        self.refs[page] += 1

    def remove_holder(self, page: int) -> None:
        """Count one holder less; a page without holders is free."""
        self.refs[page] -= 1
        assert self.refs[page] >= 0 and page != SCRATCH
        if self.refs[page] == 0:
            self._is_free[page] = True
            self._free_count += 1
            # Entries taken by `after` above stay in the heap and are skipped; now and then the heap is made anew.
            heapq.heappush(self._free, page)
            if len(self._free) > 4 * len(self.refs):
                self._free = [p for p, free in enumerate(self._is_free) if free]

    def rows(self, page: int, positions: int = PAGE_TOKENS) -> torch.Tensor:
        """Return a copy of a page's first positions on the CPU: [layers, 2, kv_heads, positions, head_dim]."""
        s = self.shape
        rows = torch.empty(s.layers, 2, s.kv_heads, positions, s.head_dim, dtype=s.dtype)
        self._layout.read(self.kv, page, rows)
        return rows

    def copy_prefix(self, source: int, target: int, positions: int) -> None:
        """Copy the first ``positions`` positions of page ``source`` to page ``target``: a partial page is shared so.

        ``target`` was just cleared.

        Example: ``pool.copy_prefix(node.page, own, 130)``
        """
        self._layout.copy_prefix(self.kv, source, target, positions)

    def read(self, page: int, positions: int = PAGE_TOKENS) -> bytes:
        """Return the first ``positions`` of a page as bytes, ordered [layers, 2, kv_heads, positions, head_dim]."""
        return self.rows(page, positions).view(torch.uint8).numpy().tobytes()

    def read_into(self, page: int, target: bytearray, positions: int = PAGE_TOKENS) -> memoryview:
        """Do :meth:`read` into ``target``, of ``shape.bytes`` bytes, with nothing allocated on the way.

        Return the bytes of ``target`` that were written.

        Example: ``pool.read_into(page, buffer, positions=88)``
        """
        written = memoryview(target)[: self.shape.bytes_of(positions)]
        self._layout.read(self.kv, page, self._rows_in(written, positions))
        return written

    def write(self, page: int, payload: bytes | bytearray | memoryview, positions: int = PAGE_TOKENS) -> None:
        """Write the bytes of :meth:`read` to a page that :meth:`allocate` just gave; later positions stay zeros.

        A whole page is taken for any ``positions``: partial pages were once stored whole. Raises ValueError when the
        length is neither.

        Example: ``pool.write(page, loaded.payload, positions=len(node.token_ids))``
        """
        s = self.shape
        if len(payload) not in (s.bytes_of(positions), s.bytes):
            raise ValueError(f"{positions} positions have {s.bytes_of(positions)} bytes, not {len(payload)}")
        used = PAGE_TOKENS if len(payload) == s.bytes else positions
        writable = bytearray(payload) if isinstance(payload, bytes) else payload
        self._layout.write(self.kv, page, self._rows_in(writable, used))

    def write_layer(self, page: int, layer: int, rows: memoryview, positions: int) -> None:
        """Write one layer of a page: the bytes of [2, kv_heads, positions, head_dim] in row-major order.

        On any thread, while nobody reads that layer of the page: the layer is all that changes.

        Example: ``pool.write_layer(page, 0, verified, positions=256)``
        """
        s = self.shape
        flat = torch.frombuffer(rows, dtype=s.dtype)
        one = flat.view(1, 2, s.kv_heads, positions, s.head_dim)
        self._layout.write(self.kv[layer : layer + 1], page, one)

    def _rows_in(self, buffer: bytearray | memoryview, positions: int) -> torch.Tensor:
        """Return the positions whose bytes lie in ``buffer``, the same memory."""
        s = self.shape
        flat = torch.frombuffer(buffer, dtype=s.dtype)
        return flat.view(s.layers, 2, s.kv_heads, positions, s.head_dim)


def _zeros(size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return zeros that cost no memory before they are written.

    Zeros, not uninitialised memory: masked positions are read and multiplied by 0, and NaN * 0 is NaN. torch.zeros
    writes every byte; numpy's zeros are the operating system's untouched ones. They begin at a multiple of ALIGNMENT.
    """
    if device.type != "cpu":
        return torch.zeros(size, dtype=dtype, device=device)
    wanted = math.prod(size) * dtype.itemsize
    memory = np.zeros(wanted + ALIGNMENT, dtype=np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return torch.from_numpy(memory[first : first + wanted]).view(dtype).view(size)

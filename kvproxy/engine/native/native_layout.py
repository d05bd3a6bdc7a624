"""`NativeLayout`: pages in the order in which the native kernels read them, see ``kernels/attention/pages.h``."""

from __future__ import annotations

import ctypes

import torch

from kvproxy.engine.native.decoder_abi import DTYPES, CPool
from kvproxy.engine.native.kernel_library import Kernels


def pool_of(kv: torch.Tensor) -> CPool:
    """Return a pool's tensor as the library takes it."""
    return CPool(kv.data_ptr(), kv.numel() * kv.element_size(), DTYPES[kv.dtype], kv.shape[3])


class NativeLayout:
    """A ``PageLayout``: keys by groups of 16 positions, values by pairs, each head and page in its own place."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels

    def read(self, kv: torch.Tensor, page: int, into: torch.Tensor) -> None:
        """See ``PageLayout.read``.

        Example: ``layout.read(pool.kv, page, rows)``
        """
        self._copy(self._kernels.library.kvp_page_read, kv, page, into)

    def write(self, kv: torch.Tensor, page: int, rows: torch.Tensor) -> None:
        """See ``PageLayout.write``.

        Example: ``layout.write(pool.kv, page, rows)``
        """
        self._copy(self._kernels.library.kvp_page_write, kv, page, rows)

    def copy_prefix(self, kv: torch.Tensor, source: int, target: int, positions: int) -> None:
        """See ``PageLayout.copy_prefix``.

        Example: ``layout.copy_prefix(pool.kv, node.page, own, 130)``
        """
        layers, parts, heads, _, _, dim = kv.shape
        rows = torch.empty(layers, parts, heads, positions, dim, dtype=kv.dtype)
        self.read(kv, source, rows)
        self.write(kv, target, rows)

    def _copy(
        self, function: ctypes._NamedFuncPointer, kv: torch.Tensor, page: int, rows: torch.Tensor
    ) -> None:
        layers, _, heads, _, _, dim = kv.shape
        assert rows.is_contiguous() and rows.dtype == kv.dtype and rows.shape[:3] == kv.shape[:3]
        pool = ctypes.byref(pool_of(kv))
        self._kernels.check(function(pool, layers, heads, dim, page, rows.shape[3], rows.data_ptr()))

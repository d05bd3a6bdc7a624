"""`PageLayout`: the order in which a page's numbers lie in the pool, known to the kernels and to nobody else."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch


class PageLayout(Protocol):
    """Protocol of a layout of pages in the pool's tensor, [layers, 2, kv_heads, pages, PAGE_TOKENS, head_dim].

    The numbers of one head's keys or values in a page may lie in any order; those of a page lie in no other page's
    place. What comes out and goes in is row-major, [layers, 2, kv_heads, positions, head_dim], in any layout: files
    and comparisons know that order alone. ``positions``: the first ones of a page.
    """

    def read(self, kv: torch.Tensor, page: int, into: torch.Tensor) -> None:
        """Copy as many positions as ``into`` has; it is contiguous, in the pool's dtype, in the CPU's memory.

        Example: ``layout.read(pool.kv, page, torch.empty(30, 2, 3, 88, 64, dtype=torch.bfloat16))``
        """

    def write(self, kv: torch.Tensor, page: int, rows: torch.Tensor) -> None:
        """Write as many positions as ``rows`` has, contiguous as in :meth:`read`; the others keep their numbers.

        ``kv`` may be some layers of the pool's tensor, and the caller any thread.

        Example: ``layout.write(pool.kv, page, rows)``
        """

    def copy_prefix(self, kv: torch.Tensor, source: int, target: int, positions: int) -> None:
        """Copy the first positions of a page to one that is all zeros; the others there stay zeros.

        Example: ``layout.copy_prefix(pool.kv, node.page, own, 130)``
        """


class RowMajorLayout:
    """A ``PageLayout``: each position's numbers beside each other, as torch's operations read them."""

    def read(self, kv: torch.Tensor, page: int, into: torch.Tensor) -> None:
        """See ``PageLayout.read``.

        Example: ``layout.read(pool.kv, page, rows)``
        """
        into.copy_(kv[:, :, :, page, : into.shape[-2]])

    def write(self, kv: torch.Tensor, page: int, rows: torch.Tensor) -> None:
        """See ``PageLayout.write``.

        Example: ``layout.write(pool.kv, page, rows)``
        """
        target = kv[:, :, :, page, : rows.shape[-2]]
        if target.device.type == "cpu":
            # By numpy, in the calling thread alone: torch would start a team of threads beside the kernels'.
            np.copyto(target.view(torch.uint8).numpy(), rows.view(torch.uint8).numpy())
        else:
            target.copy_(rows)

    def copy_prefix(self, kv: torch.Tensor, source: int, target: int, positions: int) -> None:
        """See ``PageLayout.copy_prefix``.

        Example: ``layout.copy_prefix(pool.kv, node.page, own, 130)``
        """
        kv[:, :, :, target, :positions].copy_(kv[:, :, :, source, :positions])

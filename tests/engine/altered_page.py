"""Changes to the KV of a page in memory, as faulty memory would make them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from kvproxy.engine.cache.page_pool import PagePool


def alter_page(pool: PagePool, page: int, change: Callable[[torch.Tensor], object]) -> None:
    """Let ``change`` modify the page's rows, [layers, 2, kv_heads, PAGE_TOKENS, head_dim], in place.

    Example: ``alter_page(pool, page, lambda rows: rows[0, 1].zero_())``
    """
    rows = pool.rows(page)
    change(rows)
    pool.write(page, rows.view(torch.uint8).numpy().tobytes())

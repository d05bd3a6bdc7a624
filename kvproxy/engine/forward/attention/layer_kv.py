"""`LayerKV`: one layer's K and V of all pages, as views for attention calls."""

from __future__ import annotations

import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.attention.call_plan import AttentionCall
from kvproxy.engine.forward.attention.call_shapes import Positions

_VIEWS = 512
"""Ranges of a layer's positions with remembered views: making one takes as long as a small operation."""


class LayerKV:
    """One layer's part of the pool."""

    def __init__(self, kv: torch.Tensor) -> None:
        """Flatten the pages of one layer. kv: [2, kv_heads, pages, PAGE_TOKENS, D]."""
        self.keys, self.values = kv.flatten(2, 3).unbind(0)
        """[kv_heads, pages * PAGE_TOKENS, D]"""
        self._views: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    def positions(self, call: AttentionCall) -> tuple[Positions, Positions]:
        """Return K and V of a call as views, [kv_heads, spans * length, D] each.

        Where the pages are no neighbours: a view of each page.
        """
        if isinstance(call.pages, int):
            return self._view(call.pages, call.spans * call.length)
        length = call.length if call.apart else PAGE_TOKENS
        views = [self._view(page, length) for page in call.pages]
        return tuple(k for k, _ in views), tuple(v for _, v in views)

    def _view(self, page: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first ``count`` positions of a page."""
        views = self._views.get((page, count))
        if views is None:
            if len(self._views) == _VIEWS:
                self._views.clear()
            where = slice(page * PAGE_TOKENS, page * PAGE_TOKENS + count)
            views = self._views[page, count] = self.keys[:, where], self.values[:, where]
        return views

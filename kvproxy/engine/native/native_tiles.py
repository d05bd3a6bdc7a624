"""`NativeTiles`: tiles of any number of rows on the CPU, by the native kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.forward.attention.call_plan import Segment
from kvproxy.engine.native.native_decoder import NativeDecoder
from kvproxy.engine.native.native_tile import NativeTile, lay_out

WHOLE_ROWS = 32
"""Tiles of up to this many rows run all their layers in one call: none is long enough to need a pause."""


class NativeTiles:
    """A ``Tiles`` of the native kernels. A row's bits depend on its prefix alone, by the order of its sums."""

    def __init__(self, body: Any, head: nn.Linear, config: Any, shape: PageShape) -> None:
        """Take ``body`` (the model without its output head) over, layer by layer: its weights are packed and freed.

        Example: ``NativeTiles(model.get_decoder(), model.lm_head, model.config, shape)``
        """
        self._decoder = NativeDecoder.pack(body, head, config, shape)
        self._hidden, self._head_dim = int(config.hidden_size), shape.head_dim

    def tile(
        self, token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]
    ) -> NativeTile:
        """See ``Tiles.tile``.

        Example: ``tiles.tile(ids, positions, segments)``
        """
        return lay_out(token_ids, positions, segments, hidden=self._hidden, head_dim=self._head_dim)

    def run(self, tile: NativeTile, kv: torch.Tensor) -> torch.Tensor:
        """See ``Tiles.run``."""
        self._decoder.step(tile, kv, 0, self._decoder.layers)
        return tile.hidden

    def steps(self, tile: NativeTile, kv: torch.Tensor) -> Iterator[None]:
        """See ``Tiles.steps``; yields between two layers of a tile with more than WHOLE_ROWS rows."""
        layers = self._decoder.layers
        stride = layers if tile.written <= WHOLE_ROWS else 1
        for first in range(0, layers, stride):
            if first:
                yield
            self._decoder.step(tile, kv, first, min(first + stride, layers))
        return tile.hidden

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """See ``Tiles.logits``."""
        return self._decoder.logits(hidden)[0]

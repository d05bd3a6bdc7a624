"""`NativeTiles`: tiles of any number of rows on the CPU, by the native kernels."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.native.first_layer import FirstLayer
from kvproxy.engine.native.kernel_library import Kernels
from kvproxy.engine.native.native_decoder import NativeDecoder, pack_decoder
from kvproxy.engine.native.native_layout import NativeLayout
from kvproxy.engine.native.native_tile import NativeTile, lay_out
from kvproxy.engine.tiling.numerics import Numerics
from kvproxy.engine.tiling.segment import Segment
from kvproxy.engine.tiling.tiles import Steps, Tile, Tiles

MOST_ROWS = 512
"""The most rows of a tile. Larger ones read weights no more rarely to any effect; smaller ones leave prompts a little
longer than a page with a second pass over all weights. ``Pace`` takes fewer where a layer of so many takes too long."""
WHOLE_ROWS = 32
"""Tiles of up to this many rows run all their layers in one call: none is long enough to need a pause."""


def native_numerics(kernels: Kernels) -> Numerics:
    """Return what is known of tiles whose every sum has one order, whatever their rows."""
    return Numerics(largest=MOST_ROWS, exact=True, kernel=f"native {kernels.instructions}")


def native_causes(kernels: Kernels) -> Mapping[str, str]:
    """Return known causes of other bits, by name: threads and torch's version are none.

    Nor are the sources: what they compute is in the digest of results, and a change that alters no bit keeps the pages.
    """
    return {"instructions": kernels.instructions}


class NativeTiles:
    """A ``Tiles`` of the native kernels. A row's bits depend on its prefix alone, by the order of its sums."""

    def __init__(self, kernels: Kernels, body: Any, head: nn.Linear, config: Any, shape: PageShape) -> None:
        """Take ``body`` (the model without its output head) over, layer by layer: its weights are packed and freed.

        Example: ``NativeTiles(kernels, model.get_decoder(), model.lm_head, model.config, shape)``
        """
        self._kernels = kernels
        self._decoder = NativeDecoder(kernels, pack_decoder(kernels, body, head, config, shape))
        self.numerics = native_numerics(kernels)
        self.page_layout = NativeLayout(kernels)
        self.causes = native_causes(kernels)

    def tile(
        self, token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]
    ) -> NativeTile:
        """See ``Tiles.tile``.

        Example: ``tiles.tile(ids, positions, segments)``
        """
        weights = self._decoder.weights
        return lay_out(token_ids, positions, segments, hidden=weights.hidden, head_dim=weights.shape.head_dim)

    def run(self, tile: Tile, kv: torch.Tensor) -> torch.Tensor:
        """See ``Tiles.run``."""
        assert isinstance(tile, NativeTile)
        self._decoder.step(tile, kv, 0, self._decoder.layers)
        return tile.hidden

    def steps(self, tile: Tile, kv: torch.Tensor) -> Steps:
        """See ``Tiles.steps``; yields between two layers of a tile with more than WHOLE_ROWS rows.

        Example: ``tiles.steps(tile, pool.kv)``
        """
        assert isinstance(tile, NativeTile)
        layers = self._decoder.layers
        stride = layers if tile.written <= WHOLE_ROWS else 1
        for first in range(0, layers, stride):
            if first:
                yield
            self._decoder.step(tile, kv, first, min(first + stride, layers))
        return tile.hidden

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """See ``Tiles.logits``."""
        return self._decoder.logits(hidden)

    def first_layer(self) -> FirstLayer:
        """Return what computes layer 0's K and V from token ids, on any thread, beside these tiles.

        Example: ``tiles.first_layer().rows(token_ids, start=256)``
        """
        return FirstLayer(self._kernels, self._decoder.weights)

    def shallow(self) -> tuple[Tiles, int]:
        """See ``Tiles.shallow``: one layer, since all are of one shape."""
        first = copy.copy(self)
        weights = self._decoder.weights
        first._decoder = NativeDecoder(self._kernels, replace(weights, layers=weights.layers[:1]))
        return first, 1

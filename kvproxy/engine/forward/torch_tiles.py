"""`TorchTiles`: tiles of torch's own operations, on any device: slow, and with few assumptions.

Every tile has ROWS rows, so that all matrix products are of one shape. That a row's bits then depend on its prefix
alone is nothing that torch promises: ``kernel_digest`` computes a prompt in other parts on each model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kvproxy.engine.cache.page_layout import RowMajorLayout
from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.forward.module_decoder import ModuleDecoder
from kvproxy.engine.forward.padded_rows import in_chunks
from kvproxy.engine.forward.torch_attention import attend, write_kv
from kvproxy.engine.forward.torch_causes import torch_causes
from kvproxy.engine.tiling.numerics import Numerics
from kvproxy.engine.tiling.segment import Segment
from kvproxy.engine.tiling.tiles import Steps, Tile, Tiles

ROWS = 64
"""Rows of every tile: with more, a decode row would cost more; with fewer, a prompt."""
HEAD_ROWS = 16
"""Rows of every product with the output head."""


@dataclass(frozen=True, slots=True)
class TorchTile:
    """One tile, padding rows included."""

    token_ids: Sequence[int]
    positions: Sequence[int]
    segments: tuple[Segment, ...]
    written: int


@dataclass(frozen=True, slots=True)
class TorchKV:
    """A ``TileKV`` over the pool's tensor."""

    kv: torch.Tensor
    segments: tuple[Segment, ...]

    def attend(
        self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """See ``TileKV.attend``.

        Example: ``kv_tile.attend(0, q, k, v, scale=head_dim**-0.5)``
        """
        write_kv(self.kv[layer], self.segments, k, v)
        return attend(self.kv[layer], self.segments, q, scale)


class TorchTiles:
    """A ``Tiles`` of torch's own operations."""

    def __init__(self, body: Any, head: nn.Linear, shape: PageShape, device: torch.device) -> None:
        """Take a model over. ``body``: transformers', without its output ``head``.

        Example: ``TorchTiles(model.get_decoder(), model.lm_head, shape, torch.device("cpu"))``
        """
        self._decoder, self._head, self._layers = ModuleDecoder(body), head, shape.layers
        self.numerics = Numerics(largest=ROWS, exact=True, kernel="torch", sizes=(ROWS,))
        self.page_layout = RowMajorLayout()
        self.causes: Mapping[str, str] = torch_causes(device)

    def tile(
        self, token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]
    ) -> TorchTile:
        """See ``Tiles.tile``.

        Example: ``tiles.tile(ids, positions, segments)``
        """
        padding = [0] * (ROWS - len(token_ids))
        return TorchTile([*token_ids, *padding], [*positions, *padding], tuple(segments), len(token_ids))

    def run(self, tile: Tile, kv: torch.Tensor) -> torch.Tensor:
        """See ``Tiles.run``."""
        return self._forward(tile, kv)

    def steps(self, tile: Tile, kv: torch.Tensor) -> Steps:
        """See ``Tiles.steps``; never yields: transformers' forward cannot be interrupted.

        Example: ``tiles.steps(tile, pool.kv)``
        """
        yield from ()
        return self._forward(tile, kv)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """See ``Tiles.logits``."""
        return in_chunks(self._head, hidden, HEAD_ROWS).float()

    def shallow(self) -> tuple[Tiles, int]:
        """See ``Tiles.shallow``: all layers, which may be of several shapes."""
        return self, self._layers

    def _forward(self, tile: Tile, kv: torch.Tensor) -> torch.Tensor:
        assert isinstance(tile, TorchTile)
        return self._decoder.run(tile.token_ids, tile.positions, TorchKV(kv, tile.segments))

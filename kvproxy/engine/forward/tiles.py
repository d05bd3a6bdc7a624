"""`Tiles`: the protocol of a model's tiles on one device, and the two kinds of tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import nn

from kvproxy.engine.forward.attention.call_plan import Segment
from kvproxy.engine.forward.cuda.tile_layout import PagedTile
from kvproxy.engine.forward.invariance import Numerics
from kvproxy.engine.forward.module_decoder import Steps, TileInput

Tile = TileInput | PagedTile
"""One tile, made by the ``Tiles`` that runs it."""


class Tiles(Protocol):
    """Protocol of a model's tiles on one device."""

    numerics: Numerics

    def tile(self, token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]) -> Tile:
        """Make a tile.

        ``token_ids`` and ``positions``: one for each row, padding rows included.

        Example: ``tiles.tile(ids, range(len(ids)), [Segment(0, 0, len(ids), pages)])``
        """

    def steps(self, tile: Tile, kv: torch.Tensor) -> Steps:
        """See ``Decoder.steps``."""

    def linears(self) -> Iterator[nn.Module]:
        """Yield every linear layer that a tile goes through."""

    def shallow(self) -> tuple[Tiles, int]:
        """Return tiles that run each kernel of these in as few layers as they can, and the number of layers."""

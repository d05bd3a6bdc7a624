"""`Tiles`: the protocol of a model on one device, as the engine runs it: tiles in, hidden states and logits out."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Protocol

import torch

from kvproxy.engine.cache.page_layout import PageLayout
from kvproxy.engine.tiling.numerics import Numerics
from kvproxy.engine.tiling.segment import Segment

Steps = Generator[None, None, torch.Tensor]
"""A tile's way through the model: interruptible wherever it yields; returns hidden states, [rows, hidden]."""


class Tile(Protocol):
    """Protocol of one tile, made by the ``Tiles`` that runs it."""

    @property
    def written(self) -> int:
        """Number of rows that are no padding."""


class Tiles(Protocol):
    """Protocol of a model's tiles on one device.

    A row's hidden state, its logits and its K and V depend on its sequence's tokens up to it alone, to the bit, where
    ``numerics.exact``: whatever the tile's other rows, the pages, and the number of rows.
    """

    numerics: Numerics

    @property
    def page_layout(self) -> PageLayout:
        """The layout in which :meth:`run` reads and writes pages."""

    @property
    def causes(self) -> Mapping[str, str]:
        """Known causes of other bits beside the model and ``numerics``, by name: parts of the fingerprint."""

    def tile(self, token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]) -> Tile:
        """Make a tile of at most ``numerics.largest`` rows, padded where the kernels need it.

        ``token_ids`` and ``positions``: one for each row; every row is in a segment.

        Example: ``tiles.tile(ids, range(len(ids)), [Segment(0, 0, len(ids), pages)])``
        """

    def run(self, tile: Tile, kv: torch.Tensor) -> torch.Tensor:
        """Run all layers over a tile, K and V written into ``kv`` (the pool's tensor, modified in place).

        Returns hidden states after the last norm, [rows, hidden]; the first ``tile.written`` rows count.
        """

    def steps(self, tile: Tile, kv: torch.Tensor) -> Steps:
        """Do :meth:`run`, interruptible between two layers where it can be.

        Other tiles, of any number of rows, may run there in full or in part: nothing that is needed behind a yield may
        stand in a buffer that another tile uses.

        Example: ``hidden = run_through(tiles.steps(tile, pool.kv))``
        """

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Apply the output head: [R, hidden] of :meth:`run` -> float32 [R, vocab], for any R."""

    def shallow(self) -> tuple[Tiles, int]:
        """Return tiles that run each kernel of these in as few layers as they can, and the number of layers."""

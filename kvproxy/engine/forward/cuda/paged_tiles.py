"""`PagedTiles`: tiles on a CUDA device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.forward.attention.call_plan import Segment
from kvproxy.engine.forward.cuda.cuda_invariance import measure
from kvproxy.engine.forward.cuda.paged_decoder import PagedDecoder
from kvproxy.engine.forward.cuda.paged_module import PagedModule
from kvproxy.engine.forward.cuda.tile_layout import BLOCK, PagedTile
from kvproxy.engine.forward.fused_decoder import can_fuse
from kvproxy.engine.forward.module_decoder import Steps, TileInput
from kvproxy.engine.forward.tiles import Tiles

WIDEST_HEAD = 256
"""The most dimensions of a head: a wider one's block does not fit a multiprocessor's shared memory."""


def can_page(config: Any, shape: PageShape) -> bool:
    """Return whether the paged attention fits the model's heads. config: transformers'."""
    return config.num_attention_heads // shape.kv_heads <= BLOCK and shape.head_dim <= WIDEST_HEAD


class PagedTiles:
    """A ``Tiles`` with attention that reads the pages in place."""

    def __init__(
        self, body: Any, head: nn.Module, config: Any, shape: PageShape, device: torch.device
    ) -> None:
        """Take ``body`` over, and measure it. See ``open_tiles`` for the arguments."""
        self._decoder = PagedDecoder(body, config) if can_fuse(config) else PagedModule(body, config)
        self.numerics = measure(
            self._decoder,
            head,
            shape,
            group=config.num_attention_heads // shape.kv_heads,
            vocab=int(config.vocab_size),
            context=int(config.max_position_embeddings),
            device=device,
        )
        self._decoder.compiled()
        self._layers = shape.layers
        # The measurement's memory goes back to the device: the page budget is a share of its free memory.
        torch.cuda.empty_cache()

    def tile(
        self, token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]
    ) -> PagedTile:
        """Make a tile.

        ``token_ids`` and ``positions``: one for each row, padding rows included.

        Example: ``tiles.tile(ids, range(len(ids)), [Segment(0, 0, len(ids), pages)])``
        """
        return self._decoder.pack(token_ids, positions, segments)

    def steps(self, tile: PagedTile | TileInput, kv: torch.Tensor) -> Steps:
        """See ``Decoder.steps``; never yields."""
        yield from ()  # A graph cannot be interrupted.
        assert isinstance(tile, PagedTile)
        return self._decoder.forward(tile, kv)

    def linears(self) -> Iterator[nn.Module]:
        """Yield every linear layer that a tile goes through."""
        return self._decoder.linears()

    def shallow(self) -> tuple[Tiles, int]:
        """Return these tiles and their layers: a graph is recorded over all of them, and runs in milliseconds."""
        return self, self._layers

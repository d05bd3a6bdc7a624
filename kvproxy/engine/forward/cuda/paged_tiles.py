"""Tiles on a CUDA device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from kvproxy.engine.forward.tiles import Tiles

WIDEST_HEAD = 256
"""A wider head's block does not fit a multiprocessor's shared memory."""


def can_page(config: Any, shape: PageShape) -> bool:
    """config: transformers'."""
    return config.num_attention_heads // shape.kv_heads <= BLOCK and shape.head_dim <= WIDEST_HEAD


class PagedTiles:
    """A ``Tiles`` whose attention reads the pages where they are."""

    def __init__(
        self, body: Any, head: nn.Module, config: Any, shape: PageShape, device: torch.device
    ) -> None:
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
        # What measuring took goes back to the device: the page budget is a share of what is free there.
        torch.cuda.empty_cache()

    def tile(
        self, token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]
    ) -> PagedTile:
        return self._decoder.pack(token_ids, positions, segments)

    def steps(self, tile: PagedTile | TileInput, kv: torch.Tensor) -> Steps:
        yield from ()  # A graph cannot rest.
        assert isinstance(tile, PagedTile)
        return self._decoder.forward(tile, kv)

    def linears(self) -> Iterator[nn.Module]:
        return self._decoder.linears()

    def shallow(self) -> tuple[Tiles, int]:
        # A graph is recorded over all layers, and the device runs them in milliseconds.
        return self, self._layers

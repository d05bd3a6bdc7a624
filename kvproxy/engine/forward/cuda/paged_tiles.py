"""`PagedTiles`: tiles on a CUDA device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from kvproxy.engine.cache.page_layout import RowMajorLayout
from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.forward.cuda.cuda_invariance import measure
from kvproxy.engine.forward.cuda.paged_decoder import PagedDecoder
from kvproxy.engine.forward.cuda.paged_module import PagedModule
from kvproxy.engine.forward.cuda.tile_layout import BLOCK, HEAD_ROWS, PagedTile
from kvproxy.engine.forward.padded_rows import in_chunks
from kvproxy.engine.forward.torch_causes import torch_causes
from kvproxy.engine.tiling.segment import Segment
from kvproxy.engine.tiling.tiles import Steps, Tile, Tiles

FUSED = frozenset({"llama", "qwen2", "qwen3"})
"""Families that ``PagedDecoder`` runs: pre-norm attention, biases or norms of q and k, SwiGLU."""
WIDEST_HEAD = 256
"""The most dimensions of a head: a wider one's block does not fit a multiprocessor's shared memory."""


def can_page(config: Any, shape: PageShape) -> bool:
    """Return whether the paged attention fits the model's heads. config: transformers'."""
    return config.num_attention_heads // shape.kv_heads <= BLOCK and shape.head_dim <= WIDEST_HEAD


def can_fuse(config: Any) -> bool:
    """Return whether ``PagedDecoder`` can run the model. config: transformers'."""
    plain = getattr(config, "hidden_act", None) == "silu" and not getattr(config, "mlp_bias", False)
    whole = getattr(config, "partial_rotary_factor", None) in (None, 1.0)
    return config.model_type in FUSED and plain and whole


class PagedTiles:
    """A ``Tiles`` with attention that reads the pages in place."""

    def __init__(
        self, body: Any, head: nn.Linear, config: Any, shape: PageShape, device: torch.device
    ) -> None:
        """Take ``body`` over, a model without its output ``head``, and measure it. config: transformers'.

        Example: ``PagedTiles(model.get_decoder(), model.lm_head, model.config, shape, torch.device("cuda", 0))``
        """
        self._decoder = PagedDecoder(body, config) if can_fuse(config) else PagedModule(body, config)
        self._head, self._layers = head, shape.layers
        self.numerics = measure(
            self._decoder,
            head,
            shape,
            group=config.num_attention_heads // shape.kv_heads,
            vocab=int(config.vocab_size),
            context=int(config.max_position_embeddings),
            device=device,
        )
        self.page_layout = RowMajorLayout()
        self.causes: Mapping[str, str] = torch_causes(device)
        self._decoder.compiled()
        # The measurement's memory goes back to the device: the page budget is a share of its free memory.
        torch.cuda.empty_cache()

    def tile(
        self, token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]
    ) -> PagedTile:
        """See ``Tiles.tile``.

        Example: ``tiles.tile(ids, range(len(ids)), [Segment(0, 0, len(ids), pages)])``
        """
        padding = [0] * (self.numerics.tile_for(len(token_ids)) - len(token_ids))
        return self._decoder.pack([*token_ids, *padding], [*positions, *padding], segments)

    def run(self, tile: Tile, kv: torch.Tensor) -> torch.Tensor:
        """See ``Tiles.run``."""
        return self._forward(tile, kv)

    def steps(self, tile: Tile, kv: torch.Tensor) -> Steps:
        """See ``Tiles.steps``; never yields: a graph cannot be interrupted.

        Example: ``tiles.steps(tile, pool.kv)``
        """
        yield from ()
        return self._forward(tile, kv)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """See ``Tiles.logits``."""
        return in_chunks(self._head, hidden, HEAD_ROWS).float()

    def shallow(self) -> tuple[Tiles, int]:
        """See ``Tiles.shallow``: all layers, since a graph is recorded over all of them, and runs in milliseconds."""
        return self, self._layers

    def _forward(self, tile: Tile, kv: torch.Tensor) -> torch.Tensor:
        assert isinstance(tile, PagedTile)
        return self._decoder.forward(tile, kv)

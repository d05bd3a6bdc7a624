"""`PlainTiles`: tiles of torch's own operations, on any device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.forward.attention.attention import Attention
from kvproxy.engine.forward.attention.call_plan import Segment, build_plan
from kvproxy.engine.forward.attention.kernels import open_kernel
from kvproxy.engine.forward.fused_decoder import make_decoder
from kvproxy.engine.forward.invariance import BASE_TILE, Numerics, measure
from kvproxy.engine.forward.linear import PackedLinear
from kvproxy.engine.forward.module_decoder import Steps, TileInput
from kvproxy.engine.forward.tiles import Tile, Tiles


class PlainTiles:
    """A ``Tiles`` of torch's own operations."""

    def __init__(self, body: Any, config: Any, shape: PageShape, device: torch.device) -> None:
        """Take ``body`` over, and measure it. See :func:`open_tiles` for the arguments."""
        self._group: int = config.num_attention_heads // config.num_key_value_heads
        self._shape, self._device = shape, device
        self._decoder = make_decoder(body, config, BASE_TILE)
        self.numerics = self._measure()
        kernel = open_kernel(
            self.numerics.kernel, kv_heads=shape.kv_heads, head_dim=shape.head_dim, dtype=shape.dtype
        )
        self._attention = Attention(
            kernel,
            kv_heads=shape.kv_heads,
            group=self._group,
            head_dim=shape.head_dim,
            dtype=shape.dtype,
            device=device,
        )

    def tile(
        self, token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]
    ) -> TileInput:
        """See ``Tiles.tile``.

        Example: ``tiles.tile(ids, positions, segments)``
        """
        plan = build_plan(segments, len(token_ids), self._group, self.numerics.granule, self._device)
        ids, at = (torch.tensor(list(x), device=self._device) for x in (token_ids, positions))
        return TileInput(ids, at, plan)

    def steps(self, tile: Tile, kv: torch.Tensor) -> Steps:
        """See ``Decoder.steps``."""
        assert isinstance(tile, TileInput)
        return self._decoder.steps(tile, kv, self._attention)

    def linears(self) -> Iterator[nn.Module]:
        """See ``Tiles.linears``."""
        return self._decoder.linears()

    def shallow(self) -> tuple[Tiles, int]:
        """See ``Tiles.shallow``."""
        first = copy.copy(self)
        first._decoder, layers = self._decoder.shallow()
        return first, layers

    def _measure(self) -> Numerics:
        # The head is always run in one shape, so it need not agree across tiles.
        distinct: dict[tuple[int, int, bool], nn.Module] = {}
        for module in self._decoder.linears():
            assert isinstance(module, PackedLinear | nn.Linear)
            key = (module.in_features, module.out_features, module.bias is not None)
            distinct.setdefault(key, module)
        layers: list[Callable[[torch.Tensor], torch.Tensor]] = list(distinct.values())
        return measure(
            layers,
            [width for width, _, _ in distinct],
            rowwise=self._decoder.rowwise(),
            kv_heads=self._shape.kv_heads,
            group=self._group,
            head_dim=self._shape.head_dim,
            dtype=self._shape.dtype,
            device=self._device,
        )

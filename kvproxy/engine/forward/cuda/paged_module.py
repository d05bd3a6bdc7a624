"""`PagedModule`: any other supported family on a CUDA device, transformers' forward with our products and attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.cuda.paged_attention import attend
from kvproxy.engine.forward.cuda.tile_layout import SPLIT_ROWS, PagedTile, pack
from kvproxy.engine.forward.cuda.tile_linear import tiled
from kvproxy.engine.forward.cuda.upload import Staging, TileViews
from kvproxy.engine.tiling.segment import Segment


@dataclass(frozen=True, slots=True)
class PagedKV:
    """A tile's KV, carried through transformers' forward as a keyword argument to our attention function."""

    kv: torch.Tensor
    """The pool's tensor."""
    tile: TileViews
    pages: torch.Tensor
    """[M] int64: the page of each row's own position."""
    offsets: torch.Tensor
    """[M] int64: the position inside that page."""
    spans: int | None
    """As in ``attend``."""

    def attend(
        self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Write K and V, then attend. q: [M, heads, D]; k, v: [M, kv_heads, D]. Returns [M, heads, D].

        Example: ``kv_tile.attend(0, q, k, v, scale=head_dim**-0.5)``
        """
        kv = self.kv[layer]
        kv[0].transpose(0, 1)[self.pages, :, self.offsets] = k
        kv[1].transpose(0, 1)[self.pages, :, self.offsets] = v
        return attend(q.contiguous(), kv, self.tile, scale=scale, spans=self.spans)


class PagedModule:
    """A decoder of transformers' modules.

    Takes ``body`` over: its linear layers are replaced. Norms and activations stay transformers'.
    """

    def __init__(self, body: Any, config: Any) -> None:
        """Replace the linear layers of ``body``. config: transformers'."""
        self._body = body
        self._group: int = config.num_attention_heads // config.num_key_value_heads
        for parent in list(body.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.Linear:
                    setattr(parent, name, tiled(child))
        self._staging = Staging(next(body.parameters()).device)

    def compiled(self) -> None:
        """Do nothing: transformers' forward may do things that cannot be recorded."""

    def pack(
        self, token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]
    ) -> PagedTile:
        """Pack a tile; see ``tile_layout.pack``.

        Example: ``decoder.pack(ids, range(len(ids)), [Segment(0, 0, len(ids), pages)])``
        """
        return pack(token_ids, positions, segments, group=self._group)

    def forward(self, tile: PagedTile, kv: torch.Tensor) -> torch.Tensor:
        """Run all layers over a tile, as ``PagedDecoder.forward``."""
        self._staging.put(tile.ints)
        views = self._staging.views(tile.shape)
        positions = views.positions.long()
        pages = views.tables[views.row_tables + positions // PAGE_TOKENS].long()
        out = self._body(
            input_ids=views.token_ids.unsqueeze(0),
            position_ids=positions.unsqueeze(0),
            use_cache=False,
            kv_tile=PagedKV(kv, views, pages, positions % PAGE_TOKENS, tile.shape.spans),
        )
        hidden: torch.Tensor = out.last_hidden_state[0]
        if tile.shape.rows > SPLIT_ROWS and hidden.is_cuda:
            torch.cuda.current_stream().synchronize()
        return hidden

    def linears(self) -> Iterator[nn.Module]:
        """Yield every linear layer."""
        return (m for m in self._body.modules() if isinstance(m, nn.Linear))

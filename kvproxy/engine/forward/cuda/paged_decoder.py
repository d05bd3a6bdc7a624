"""`PagedDecoder`: Llama, Qwen2 or Qwen3 on a CUDA device, ten kernels a layer, recorded as a graph for each tile shape.

Launching one kernel from Python takes longer than a small tile keeps the device busy with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kvproxy.engine.forward.cuda.graphs import Graphs
from kvproxy.engine.forward.cuda.paged_attention import attend
from kvproxy.engine.forward.cuda.row_kernels import add_norm, rotate_and_write, silu_gate
from kvproxy.engine.forward.cuda.tile_layout import SPLIT_ROWS, PagedTile, TileShape, pack
from kvproxy.engine.forward.cuda.tile_linear import fused, tiled
from kvproxy.engine.forward.cuda.upload import Staging
from kvproxy.engine.tiling.segment import Segment


@dataclass(frozen=True, slots=True)
class _PagedLayer:
    """One layer's products and norms. Norms are (weight, epsilon)."""

    qkv: nn.Module
    o: nn.Module
    gate_up: nn.Module
    down: nn.Module
    norm_in: tuple[torch.Tensor, float]
    norm_mid: tuple[torch.Tensor, float]
    norm_heads: tuple[torch.Tensor, torch.Tensor, float] | None
    """Weights for queries and keys, and epsilon."""
    scale: float


class PagedDecoder:
    """A decoder with fused products. Takes ``body`` over: its layers are fused and freed."""

    def __init__(self, body: Any, config: Any) -> None:
        """Fuse the layers of ``body`` one by one. config: transformers'."""
        self._embed: nn.Module = body.embed_tokens
        self._norm = _norm(body.norm)
        self._heads: int = config.num_attention_heads
        self._group = self._heads // config.num_key_value_heads
        self._layers: list[_PagedLayer] = []
        for i in range(len(body.layers)):
            self._layers.append(_fuse_layer(body.layers[i]))
            body.layers[i] = None
        device = self._norm[0].device
        self._turns = _turns(body.rotary_emb, int(config.max_position_embeddings), device)
        self._staging, self._graphs = Staging(device), Graphs(device)

    def compiled(self) -> None:
        """Record tiles from now on: every tile size has run."""
        self._graphs.compiled = True

    def pack(
        self, token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]
    ) -> PagedTile:
        """Pack a tile; see ``tile_layout.pack``.

        Example: ``decoder.pack(ids, range(len(ids)), [Segment(0, 0, len(ids), pages)])``
        """
        return pack(token_ids, positions, segments, group=self._group)

    def forward(self, tile: PagedTile, kv: torch.Tensor) -> torch.Tensor:
        """Run all layers over a tile, K and V written into ``kv`` (the pool's tensor, modified in place).

        Returns hidden states after the last norm, [M, hidden]; of prompt tiles when they are computed.
        """
        self._staging.put(tile.ints)
        addresses = (kv.data_ptr(), kv.shape, self._staging.device.data_ptr())
        hidden = self._graphs.run(tile.shape, addresses, lambda: self._run(tile.shape, kv))
        if tile.shape.rows > SPLIT_ROWS and hidden.is_cuda:
            # A prompt tile's logits may never be read; the scheduler measures how long tiles take.
            torch.cuda.current_stream().synchronize()
        return hidden

    def _run(self, shape: TileShape, kv: torch.Tensor) -> torch.Tensor:
        tile = self._staging.views(shape)
        h = self._embed(tile.token_ids).float()
        delta: torch.Tensor | None = None
        for pages, layer in zip(kv, self._layers, strict=True):
            qkv = layer.qkv(add_norm(h, delta, *layer.norm_in))
            q = rotate_and_write(qkv, pages, tile, self._turns, heads=self._heads, norms=layer.norm_heads)
            out = attend(q, pages, tile, scale=layer.scale, spans=shape.spans)
            x = add_norm(h, layer.o(out.view(shape.rows, -1)), *layer.norm_mid)
            delta = layer.down(silu_gate(layer.gate_up(x)))
        return add_norm(h, delta, *self._norm)

    def linears(self) -> Iterator[nn.Module]:
        """Yield every product that a tile goes through."""
        return (m for x in self._layers for m in (x.qkv, x.o, x.gate_up, x.down))


def _fuse_layer(layer: Any) -> _PagedLayer:
    attention, mlp = layer.self_attn, layer.mlp
    norms = None
    if hasattr(attention, "q_norm"):
        norms = (attention.q_norm.weight.detach(), *_norm(attention.k_norm))
    return _PagedLayer(
        qkv=_product(attention.q_proj, attention.k_proj, attention.v_proj),
        o=_product(attention.o_proj),
        gate_up=_product(mlp.gate_proj, mlp.up_proj),
        down=_product(mlp.down_proj),
        norm_in=_norm(layer.input_layernorm),
        norm_mid=_norm(layer.post_attention_layernorm),
        norm_heads=norms,
        scale=float(attention.scaling),
    )


def _product(*linears: nn.Linear) -> nn.Linear:
    return tiled(fused(linears))


def _norm(module: Any) -> tuple[torch.Tensor, float]:
    return module.weight.detach(), float(module.variance_epsilon)


def _turns(rotary: Any, positions: int, device: torch.device) -> torch.Tensor:
    """Return for each position the cosines of the first half of a head, then its sines: float32 [positions, D].

    Both halves of a head turn by the same angles.
    """
    parts = []
    like = torch.empty(1, 1, 1, device=device)
    for start in range(0, positions, 8192):
        at = torch.arange(start, min(start + 8192, positions), device=device)[None]
        cos, sin = rotary(like, at)
        half = cos.shape[-1] // 2
        parts.append(torch.cat((cos[0, :, :half], sin[0, :, :half]), dim=-1))
    return torch.cat(parts).float()

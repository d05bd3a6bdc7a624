"""Running a transformers decoder over a tile.

``ModuleDecoder`` calls transformers' own forward and works for any supported model. ``FusedDecoder`` calls the
same operations for the families whose forward is known (Llama, Qwen2, Qwen3), with the query, key and value
products in one and gate and up in one: a third of the calls, which is what a small tile's time is made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.functional import rms_norm
from transformers import AttentionInterface

from kvproxy.engine.attention import Plan, attend
from kvproxy.engine.kernels import Kernel
from kvproxy.engine.linear import PackedLinear, fuse, pack_linears

ATTENTION = "kvproxy_pages"
FUSED_FAMILIES = frozenset({"llama", "qwen2", "qwen3"})


@dataclass(frozen=True, slots=True)
class TileInput:
    """One tile. ``token_ids`` and ``positions``: [M] int64, padding rows included."""

    token_ids: torch.Tensor
    positions: torch.Tensor
    plan: Plan


class Decoder(Protocol):
    def forward(self, tile: TileInput, kv: torch.Tensor, kernel: Kernel) -> torch.Tensor:
        """All layers over a tile, K and V written into ``kv`` (the pool's tensor, modified in place).

        Returns hidden states after the last norm, [M, hidden].
        """

    def linears(self) -> Iterator[nn.Module]:
        """Every linear layer that a tile goes through."""


def make_decoder(body: Any, config: Any, rows: int) -> Decoder:
    """The fastest decoder for this model. Takes ``body`` over: its linear layers are replaced or freed."""
    plain = getattr(config, "hidden_act", "") == "silu" and not getattr(config, "mlp_bias", False)
    if config.model_type in FUSED_FAMILIES and plain:
        return FusedDecoder(body, config, rows)
    return ModuleDecoder(body, rows)


class ModuleDecoder:
    """transformers' forward, with packed linears and our attention function."""

    def __init__(self, body: Any, rows: int) -> None:
        self._body = body
        pack_linears(body, rows)

    def forward(self, tile: TileInput, kv: torch.Tensor, kernel: Kernel) -> torch.Tensor:
        out = self._body(
            input_ids=tile.token_ids.unsqueeze(0),
            position_ids=tile.positions.unsqueeze(0),
            use_cache=False,
            kv_tile=_TileKV(tile.plan, kv, kernel),
        )
        hidden: torch.Tensor = out.last_hidden_state[0]
        return hidden

    def linears(self) -> Iterator[nn.Module]:
        return (m for m in self._body.modules() if isinstance(m, PackedLinear | nn.Linear))


@dataclass(frozen=True, slots=True)
class _TileKV:
    """Rides through transformers' forward as a keyword argument, to our attention function."""

    plan: Plan
    kv: torch.Tensor
    kernel: Kernel


def register_attention() -> None:
    """Make ``attn_implementation=ATTENTION`` known to transformers. Idempotent."""
    AttentionInterface.register(ATTENTION, _attention)


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    kv_tile: _TileKV,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface. query: [1, heads, M, D] -> [1, M, heads, D]."""
    layer: int = module.layer_idx  # type: ignore[assignment]  # nn.Module types attributes as tensors
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    return attend(kv_tile.plan, kv_tile.kv[layer], q, k, v, scale, kv_tile.kernel).unsqueeze(0), None


@dataclass(frozen=True, slots=True)
class _Layer:
    """One decoder layer's weights. Norms are (weight, epsilon)."""

    qkv: nn.Module
    o: nn.Module
    gate_up: nn.Module
    down: nn.Module
    norm_in: tuple[torch.Tensor, float]
    norm_mid: tuple[torch.Tensor, float]
    norm_q: tuple[torch.Tensor, float] | None
    norm_k: tuple[torch.Tensor, float] | None
    scale: float


class FusedDecoder:
    """Pre-norm attention and SwiGLU, as Llama, Qwen2 (biases) and Qwen3 (norms of q and k) have them."""

    def __init__(self, body: Any, config: Any, rows: int) -> None:
        self._embed: nn.Module = body.embed_tokens
        self._rotary: nn.Module = body.rotary_emb
        self._norm = _norm(body.norm)
        self._heads: int = config.num_attention_heads
        self._kv_heads: int = config.num_key_value_heads
        self._layers: list[_Layer] = []
        for i in range(len(body.layers)):
            self._layers.append(_fuse_layer(body.layers[i], rows))
            body.layers[i] = None  # Its plain weights are freed layer by layer: one model in memory, not two.

    def forward(self, tile: TileInput, kv: torch.Tensor, kernel: Kernel) -> torch.Tensor:
        h = self._embed(tile.token_ids)
        cos, sin = (x[0].unsqueeze(1) for x in self._rotary(h.unsqueeze(0), tile.positions.unsqueeze(0)))
        for i, layer in enumerate(self._layers):
            x = rms_norm(h, h.shape[-1:], *layer.norm_in)
            h = h + layer.o(self._attend(layer, x, cos, sin, tile.plan, kv[i], kernel))
            x = rms_norm(h, h.shape[-1:], *layer.norm_mid)
            gate, up = layer.gate_up(x).chunk(2, dim=-1)
            h = h + layer.down(nn.functional.silu(gate).mul_(up))
        return rms_norm(h, h.shape[-1:], *self._norm)

    def _attend(
        self,
        layer: _Layer,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        plan: Plan,
        kv: torch.Tensor,
        kernel: Kernel,
    ) -> torch.Tensor:
        """x: [M, hidden]; cos, sin: [M, 1, D]; kv: one layer of the pool. Returns [M, heads * D]."""
        qkv = layer.qkv(x).view(x.shape[0], self._heads + 2 * self._kv_heads, -1)
        turned = self._heads + self._kv_heads
        if layer.norm_q is not None and layer.norm_k is not None:
            q = rms_norm(qkv[:, : self._heads], qkv.shape[-1:], *layer.norm_q)
            k = rms_norm(qkv[:, self._heads : turned], qkv.shape[-1:], *layer.norm_k)
            qk = torch.cat((q, k), dim=1)
        else:
            qk = qkv[:, :turned]
        left, right = qk.chunk(2, dim=-1)
        qk = (qk * cos).add_(torch.cat((-right, left), dim=-1).mul_(sin))
        out = attend(
            plan, kv, qk[:, : self._heads], qk[:, self._heads :], qkv[:, turned:], layer.scale, kernel
        )
        return out.reshape(x.shape[0], -1)

    def linears(self) -> Iterator[nn.Module]:
        return (m for x in self._layers for m in (x.qkv, x.o, x.gate_up, x.down))


def _fuse_layer(layer: Any, rows: int) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    return _Layer(
        qkv=fuse([attention.q_proj, attention.k_proj, attention.v_proj], rows),
        o=fuse([attention.o_proj], rows),
        gate_up=fuse([mlp.gate_proj, mlp.up_proj], rows),
        down=fuse([mlp.down_proj], rows),
        norm_in=_norm(layer.input_layernorm),
        norm_mid=_norm(layer.post_attention_layernorm),
        norm_q=_norm(attention.q_norm) if hasattr(attention, "q_norm") else None,
        norm_k=_norm(attention.k_norm) if hasattr(attention, "k_norm") else None,
        scale=float(attention.scaling),
    )


def _norm(module: Any) -> tuple[torch.Tensor, float]:
    return module.weight.detach(), float(module.variance_epsilon)

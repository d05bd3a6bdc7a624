"""`FusedDecoder`: the forward of Llama, Qwen2 (biases) and Qwen3 (norms of q and k): pre-norm attention and SwiGLU.

Query, key and value products are one, gate and up are one; everything between products is float32, in memory that is
allocated once. The residual stream and the rotary embedding are therefore more precise than transformers' bf16.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from kvproxy.engine.forward.attention.attention import Attention
from kvproxy.engine.forward.invariance import RowFunction
from kvproxy.engine.forward.linear import fuse
from kvproxy.engine.forward.module_decoder import Decoder, ModuleDecoder, Steps, TileInput
from kvproxy.engine.forward.rms_norm import RmsNorm
from kvproxy.engine.forward.rotary import Angles, Rotary, paired, pairs
from kvproxy.engine.forward.whole_vectors import silu_, slack

FAMILIES = frozenset({"llama", "qwen2", "qwen3"})


def can_fuse(config: Any) -> bool:
    """Return whether :class:`FusedDecoder` can run the model. config: transformers'."""

    plain = getattr(config, "hidden_act", None) == "silu" and not getattr(config, "mlp_bias", False)
    whole = getattr(config, "partial_rotary_factor", None) in (None, 1.0)
    return config.model_type in FAMILIES and plain and whole


@dataclass(frozen=True, slots=True)
class _FusedLayer:
    """One layer's products and norms."""

    qkv: nn.Module
    o: nn.Module
    gate_up: nn.Module
    down: nn.Module
    norm_in: RmsNorm
    norm_mid: RmsNorm
    norm_heads: RmsNorm | None
    """Norm of all heads of q and k at once: its weight is [heads + kv_heads, D]."""


@dataclass(frozen=True, slots=True)
class _Scratch:
    """Memory for tiles of one size. All of them share it, so that nothing in it outlives a layer."""

    x: torch.Tensor
    """[M, hidden] in the model's dtype: the left operand of a product."""
    wide: torch.Tensor
    """float32 [M, hidden]; ``x`` itself in a float32 model."""
    length: torch.Tensor
    """float32 [M, 1]: scratch of the norms of rows."""
    heads: torch.Tensor
    """float32 [M, heads + kv_heads, D]: q and k."""
    head_length: torch.Tensor
    """float32 [M, heads + kv_heads, 1]: scratch of the norms of heads."""
    q_pairs: torch.Tensor
    """The first of ``heads``, complex64 [M, kv_heads, group, D / 2]."""
    k_pairs: torch.Tensor
    """The others, complex64 [M, kv_heads, D / 2]."""
    k: torch.Tensor
    """float32 [M, kv_heads, D]: keys with their rotary embedding."""
    turned_pairs: torch.Tensor
    """``k``, complex64 [M, kv_heads, D / 2]."""
    flat: torch.Tensor
    """[M * intermediate] and slack, in the model's dtype."""
    gated: torch.Tensor
    """[M, intermediate], the same memory."""


def make_decoder(body: Any, config: Any, rows: int) -> Decoder:
    """Make the fastest decoder for this model. Takes ``body`` over: its linear layers are replaced or freed.

    ``body``: the model without its head; ``config``: transformers'; ``rows``: the usual rows of a tile.

    Example: ``make_decoder(model.get_decoder(), model.config, rows=64)``
    """
    return FusedDecoder(body, config, rows) if can_fuse(config) else ModuleDecoder(body, config, rows)


class FusedDecoder:
    """A ``Decoder`` with fused products. Takes ``body`` over: its layers are replaced and freed."""

    def __init__(self, body: Any, config: Any, rows: int) -> None:
        """Fuse the layers of ``body`` one by one. See :func:`make_decoder` for the arguments."""
        self._embed: nn.Module = body.embed_tokens
        self._norm = RmsNorm(body.norm.weight, float(body.norm.variance_epsilon))
        self._kv_heads: int = config.num_key_value_heads
        self._group: int = config.num_attention_heads // self._kv_heads
        self._turned = config.num_attention_heads + self._kv_heads
        first = body.layers[0].self_attn
        self._dim: int = first.head_dim
        self._hidden: int = config.hidden_size
        self._intermediate: int = config.intermediate_size
        weight = body.norm.weight
        self._dtype, self._device = weight.dtype, weight.device
        self._threads = torch.get_num_threads()
        self._rotary = Rotary(
            body.rotary_emb, self._dim, config.max_position_embeddings, float(first.scaling)
        )
        order = paired(self._turned, self._dim, self._device)
        own = torch.arange(order.numel(), order.numel() + self._kv_heads * self._dim, device=self._device)
        self._layers: list[_FusedLayer] = []
        for i in range(len(body.layers)):
            self._layers.append(self._fuse(body.layers[i], torch.cat((order, own)), rows))
            body.layers[i] = None  # Its plain weights are freed layer by layer: one model in memory, not two.
        self._memory: dict[int, _Scratch] = {}

    def steps(self, tile: TileInput, kv: torch.Tensor, attention: Attention) -> Steps:
        """See ``Decoder.steps``; yields between two layers.

        Example: ``decoder.steps(tile, pool.kv, attention)``
        """
        rows = tile.token_ids.shape[0]
        s = self._memory.get(rows) or self._allocate(rows)
        h = self._embed(tile.token_ids).float()
        angles = self._rotary.angles(tile.positions)
        q = pairs(attention.queries(rows).transpose(0, 1))
        for i, (layer, pages) in enumerate(zip(self._layers, attention.layers(kv), strict=True)):
            if i:
                yield
            qkv = layer.qkv(self._normed(layer.norm_in, h, s)).view(rows, -1, self._dim)
            self._turn(layer, qkv, s, angles, q)
            attention.write(tile.plan, pages, s.k, qkv[:, self._turned :])
            h.add_(layer.o(attention.attend(tile.plan, pages, rows)))
            gate_up = layer.gate_up(self._normed(layer.norm_mid, h, s))
            h.add_(layer.down(self._gate(gate_up, s)))
        return self._normed(self._norm, h, s).clone()

    def linears(self) -> Iterator[nn.Module]:
        """See ``Decoder.linears``."""
        return (m for x in self._layers for m in (x.qkv, x.o, x.gate_up, x.down))

    def shallow(self) -> tuple[Decoder, int]:
        """See ``Decoder.shallow``: one layer, since all are of one shape; its scratch memory is the whole decoder's."""
        first = copy.copy(self)
        first._layers = self._layers[:1]
        return first, 1

    def rowwise(self) -> Iterator[tuple[RowFunction, int]]:
        """See ``Decoder.rowwise``: SwiGLU, norm and rotary embedding."""

        def scratch(x: torch.Tensor) -> _Scratch:
            return self._memory.get(x.shape[0]) or self._allocate(x.shape[0])

        def turned(x: torch.Tensor) -> torch.Tensor:
            rows, s = x.shape[0], scratch(x)
            angles = self._rotary.angles(torch.full((rows,), 7, device=x.device))
            q = torch.empty(self._kv_heads, rows, self._group, self._dim, device=x.device).transpose(0, 1)
            self._turn(self._layers[0], x.view(rows, -1, self._dim), s, angles, pairs(q))
            return torch.cat((q.flatten(1), s.k.flatten(1)), dim=1)

        yield lambda x: self._gate(x, scratch(x)).clone(), 2 * self._intermediate
        yield lambda x: self._normed(self._norm, x.float(), scratch(x)).clone(), self._hidden
        yield turned, (self._turned + self._kv_heads) * self._dim

    def _normed(self, norm: RmsNorm, h: torch.Tensor, s: _Scratch) -> torch.Tensor:
        """Normalise h, float32 [M, hidden]. Returns [M, hidden] in the model's dtype, until the next call."""
        norm(h, s.length, s.wide)
        return s.x if s.x is s.wide else s.x.copy_(s.wide)

    def _turn(
        self,
        layer: _FusedLayer,
        qkv: torch.Tensor,
        s: _Scratch,
        angles: Angles,
        q: torch.Tensor,
    ) -> None:
        """Apply norms and rotary embedding to q and k.

        qkv: [M, heads + 2 kv_heads, D]. Fills ``q``, [M, kv_heads, group] heads as pairs, scaled, and ``s.k``.
        """
        s.heads.copy_(qkv[:, : self._turned])
        if layer.norm_heads is not None:
            layer.norm_heads(s.heads, s.head_length, s.heads)
        self._rotary.turn(s.q_pairs, angles.q, q)
        self._rotary.turn(s.k_pairs, angles.k, s.turned_pairs)

    def _gate(self, gate_up: torch.Tensor, s: _Scratch) -> torch.Tensor:
        """Apply SwiGLU. gate_up: [M, 2 * intermediate]. Returns [M, intermediate], until the next call."""
        gate, up = gate_up.chunk(2, dim=-1)
        if self._threads <= 2:
            # Two threads share an even number of rows between two of them: no row is cut.
            torch.ops.aten.silu.out(gate, out=s.gated)
        else:
            s.gated.copy_(gate)
            silu_(s.flat, s.gated.numel(), self._threads)
        return s.gated.mul_(up)

    def _fuse(self, layer: Any, order: torch.Tensor, rows: int) -> _FusedLayer:
        """Fuse one layer's products. order: [columns of qkv] int64, heads of q and k in pairs."""
        attention, mlp = layer.self_attn, layer.mlp
        norm_heads = None
        if hasattr(attention, "q_norm"):
            q, k = attention.q_norm, attention.k_norm
            counts = ((q, self._turned - self._kv_heads), (k, self._kv_heads))
            weight = torch.cat([x.weight.expand(n, -1) for x, n in counts])
            norm_heads = RmsNorm(weight[:, order[: self._dim]], float(q.variance_epsilon))
        return _FusedLayer(
            qkv=fuse([attention.q_proj, attention.k_proj, attention.v_proj], rows, order),
            o=fuse([attention.o_proj], rows),
            gate_up=fuse([mlp.gate_proj, mlp.up_proj], rows),
            down=fuse([mlp.down_proj], rows),
            norm_in=_norm(layer.input_layernorm),
            norm_mid=_norm(layer.post_attention_layernorm),
            norm_heads=norm_heads,
        )

    @torch.inference_mode(False)
    def _allocate(self, rows: int) -> _Scratch:
        """Make the scratch memory of tiles of ``rows`` rows."""

        def make(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.zeros(shape, dtype=dtype, device=self._device)

        wide = make(rows, self._hidden)
        heads = make(rows, self._turned, self._dim)
        k = make(rows, self._kv_heads, self._dim)
        of_q = heads[:, : self._turned - self._kv_heads].unflatten(1, (self._kv_heads, self._group))
        numel = rows * self._intermediate
        flat = make(numel + slack(self._threads), dtype=self._dtype)
        self._memory[rows] = _Scratch(
            x=wide if self._dtype == torch.float32 else make(rows, self._hidden, dtype=self._dtype),
            wide=wide,
            length=make(rows, 1),
            heads=heads,
            head_length=make(rows, self._turned, 1),
            q_pairs=pairs(of_q),
            k_pairs=pairs(heads[:, self._turned - self._kv_heads :]),
            k=k,
            turned_pairs=pairs(k),
            flat=flat,
            gated=flat[:numel].view(rows, self._intermediate),
        )
        return self._memory[rows]


def _norm(module: Any) -> RmsNorm:
    return RmsNorm(module.weight, float(module.variance_epsilon))

"""`Decoder` protocol of a transformers decoder over a tile, and `ModuleDecoder`, which works for any supported model.

``ModuleDecoder`` calls transformers' own forward. ``FusedDecoder`` (in ``fused_decoder``) does the same sums in a third
of the calls, for the families with a known forward.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.activations import ACT2FN

from kvproxy.engine.forward.attention.attention import Attention
from kvproxy.engine.forward.attention.call_plan import TilePlan
from kvproxy.engine.forward.invariance import RowFunction
from kvproxy.engine.forward.linear import PackedLinear, pack_linears

ATTENTION = "kvproxy_pages"


@dataclass(frozen=True, slots=True)
class TileInput:
    """One tile. ``token_ids`` and ``positions``: [M] int64, padding rows included."""

    token_ids: torch.Tensor
    positions: torch.Tensor
    plan: TilePlan

    @property
    def written(self) -> int:
        """Rows that are no padding."""
        return self.plan.written


Steps = Generator[None, None, torch.Tensor]
"""A tile's way through the model: interruptible wherever it yields; returns hidden states, [M, hidden]."""


class Decoder(Protocol):
    """Protocol of a model's layers over tiles."""

    def steps(self, tile: TileInput, kv: torch.Tensor, attention: Attention) -> Steps:
        """Run all layers over a tile, K and V written into ``kv`` (the pool's tensor, modified in place).

        Yields between two layers where it can; other tiles, of any number of rows, may run there in full or in part. So
        nothing that is needed behind a yield may stand in a buffer that another tile also uses. Returns hidden states
        after the last norm, [M, hidden].

        Example: ``hidden = run_through(decoder.steps(tile, pool.kv, attention))``
        """

    def linears(self) -> Iterator[nn.Module]:
        """Yield every linear layer that a tile goes through."""

    def shallow(self) -> tuple[Decoder, int]:
        """Return a decoder that runs each kernel of this one in as few layers as it can, and their number."""

    def rowwise(self) -> Iterator[tuple[RowFunction, int]]:
        """Yield all other functions that must treat every row alike, [M, width] -> [M, ...], and their widths."""


class ModuleDecoder:
    """transformers' forward, with packed linears and our attention function."""

    def __init__(self, body: Any, config: Any, rows: int) -> None:
        """Take ``body`` over: its linear layers are packed. See ``make_decoder`` for the arguments."""
        self._body = body
        self._depth: int = config.num_hidden_layers
        self._activation = getattr(config, "hidden_act", None)
        self._width = getattr(config, "intermediate_size", None)
        pack_linears(body, rows)

    def steps(self, tile: TileInput, kv: torch.Tensor, attention: Attention) -> Steps:
        """See ``Decoder.steps``; never yields.

        Example: ``decoder.steps(tile, pool.kv, attention)``
        """
        yield from ()  # transformers' forward cannot be interrupted.
        out = self._body(
            input_ids=tile.token_ids.unsqueeze(0),
            position_ids=tile.positions.unsqueeze(0),
            use_cache=False,
            kv_tile=_TileKV(tile.plan, kv, attention),
        )
        hidden: torch.Tensor = out.last_hidden_state[0]
        return hidden

    def linears(self) -> Iterator[nn.Module]:
        """See ``Decoder.linears``."""
        return (m for m in self._body.modules() if isinstance(m, PackedLinear | nn.Linear))

    def shallow(self) -> tuple[Decoder, int]:
        """See ``Decoder.shallow``: all layers, which may be of several shapes."""
        return self, self._depth

    def rowwise(self) -> Iterator[tuple[RowFunction, int]]:
        # In float32 torch's SiLU has other bits at the ends of each thread's share of the elements.
        """See ``Decoder.rowwise``: the activation, if its name is known."""
        if self._activation in ACT2FN and isinstance(self._width, int):
            yield ACT2FN[self._activation], self._width


class TileKV(Protocol):
    """Protocol of the keyword argument that carries a tile's KV through transformers' forward to our attention."""

    def attend(
        self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Write K and V, then attend. q: [M, heads, D]; k, v: [M, kv_heads, D]. Returns M * heads * D elements.

        Example: ``kv_tile.attend(0, q, k, v, scale=head_dim**-0.5)``
        """


@dataclass(frozen=True, slots=True)
class _TileKV:
    plan: TilePlan
    kv: torch.Tensor
    attention: Attention

    def attend(
        self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        kv = self.attention.layers(self.kv)[layer]
        self.attention.fold(q, scale)
        self.attention.write(self.plan, kv, k, v)
        return self.attention.attend(self.plan, kv, q.shape[0])


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
    kv_tile: TileKV,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Implement transformers' attention interface. query: [1, heads, M, D] -> [1, M, heads, D]."""
    layer: int = module.layer_idx  # type: ignore[assignment]  # nn.Module types attributes as tensors
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    return kv_tile.attend(layer, q, k, v, scale).view(1, *q.shape), None

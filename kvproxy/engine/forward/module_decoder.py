"""`ModuleDecoder`: transformers' own forward over a tile, for any supported model, with an attention of ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import nn
from transformers import AttentionInterface

ATTENTION = "kvproxy_pages"


class TileKV(Protocol):
    """Protocol of the keyword argument that carries a tile's KV through transformers' forward to our attention."""

    def attend(
        self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Write K and V, then attend. q: [M, heads, D]; k, v: [M, kv_heads, D]. Returns M * heads * D elements.

        Example: ``kv_tile.attend(0, q, k, v, scale=head_dim**-0.5)``
        """


class ModuleDecoder:
    """A model without its output head, whose layers are transformers' modules."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self._device: torch.device = next(body.parameters()).device

    def run(self, token_ids: Sequence[int], positions: Sequence[int], kv_tile: TileKV) -> torch.Tensor:
        """Run all layers over the rows of a tile. Returns hidden states after the last norm, [M, hidden].

        Example: ``decoder.run(ids, range(len(ids)), kv_tile)``
        """
        ids, at = (torch.tensor(list(x), device=self._device)[None] for x in (token_ids, positions))
        out = self._body(input_ids=ids, position_ids=at, use_cache=False, kv_tile=kv_tile)
        hidden: torch.Tensor = out.last_hidden_state[0]
        return hidden

    def linears(self) -> Iterator[nn.Linear]:
        """Yield every linear layer."""
        return (m for m in self._body.modules() if isinstance(m, nn.Linear))


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

"""`ModuleTiles`: any supported family on the CPU, by transformers' own layers with our products and our attention.

Products and attention give a row its bits whatever the other rows. Activations and rotary embeddings are computed row
by row, since torch computes the elements at the end of a thread's share in another way than the others (float32
``exp``, ``cos``). All else between them is left to torch: sums, products and square roots of single elements, which
IEEE 754 rounds in one way, and means over a row. ``kernel_digest`` sees a model of which that does not hold.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers.activations import ACT2CLS

from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.forward.module_decoder import ModuleDecoder
from kvproxy.engine.forward.torch_causes import torch_causes
from kvproxy.engine.native.decoder_abi import DTYPES, CRowsOfPages
from kvproxy.engine.native.kernel_library import Kernels
from kvproxy.engine.native.native_layout import NativeLayout, pool_of
from kvproxy.engine.native.native_linear import NativeLinear
from kvproxy.engine.native.native_tile import NativeTile, lay_out
from kvproxy.engine.native.native_tiles import native_causes, native_numerics
from kvproxy.engine.native.packed_matrix import PackedMatrix
from kvproxy.engine.tiling.segment import Segment
from kvproxy.engine.tiling.tiles import Steps, Tile, Tiles


def attends_natively(shape: PageShape) -> bool:
    """Return whether there is a native attention for heads and pages of this shape."""
    return shape.head_dim % 16 == 0 and shape.head_dim <= 256 and shape.dtype in DTYPES


@dataclass(frozen=True, slots=True)
class NativeKV:
    """A ``TileKV`` over the pool's tensor."""

    kernels: Kernels
    kv: torch.Tensor
    tile: NativeTile

    def attend(
        self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """See ``TileKV.attend``.

        Example: ``kv_tile.attend(0, q, k, v, scale=head_dim**-0.5)``
        """
        layers, _, kv_heads, _, _, dim = self.kv.shape
        tile, library, threads = self.tile, self.kernels.library, torch.get_num_threads()
        rows = CRowsOfPages(
            rows=len(tile.positions),
            table_entries=len(tile.tables),
            positions=tile.positions.ctypes.data,
            row_tables=tile.row_tables.ctypes.data,
            tables=tile.tables.ctypes.data,
        )
        where = (ctypes.byref(pool_of(self.kv)), layers, kv_heads, dim, layer, ctypes.byref(rows))
        keys, values = k.float().contiguous(), v.float().contiguous()
        self.kernels.check(library.kvp_write_kv(*where, keys.data_ptr(), values.data_ptr(), threads))
        queries = (q.float() * (scale * math.log2(math.e))).contiguous()
        out = torch.empty_like(queries)
        group = q.shape[1] // kv_heads
        self.kernels.check(library.kvp_attend(*where, group, queries.data_ptr(), out.data_ptr(), threads))
        return out.to(q.dtype)


class ModuleTiles:
    """A ``Tiles`` of transformers' layers with native products and attention."""

    def __init__(self, kernels: Kernels, body: Any, head: nn.Linear, shape: PageShape) -> None:
        """Take a model over: its linear layers are packed and freed. ``body``: the model without its ``head``.

        Example: ``ModuleTiles(kernels, model.get_decoder(), model.lm_head, shape)``
        """
        self._kernels, self._layers = kernels, shape.layers
        self._head = NativeLinear(kernels, PackedMatrix.of(kernels, [head]))
        self._decoder = ModuleDecoder(body)
        _replace_modules(body, lambda x: NativeLinear(kernels, PackedMatrix.of(kernels, [x])))
        self._body = body
        known = native_numerics(kernels)
        self.numerics = replace(known, kernel=f"{known.kernel} below transformers' layers")
        self.page_layout = NativeLayout(kernels)
        self.causes: Mapping[str, str] = {**torch_causes(torch.device("cpu")), **native_causes(kernels)}

    def tile(
        self, token_ids: Sequence[int], positions: Sequence[int], segments: Sequence[Segment]
    ) -> NativeTile:
        """See ``Tiles.tile``.

        Example: ``tiles.tile(ids, positions, segments)``
        """
        return lay_out(token_ids, positions, segments, hidden=0, head_dim=0)

    def run(self, tile: Tile, kv: torch.Tensor) -> torch.Tensor:
        """See ``Tiles.run``."""
        return self._forward(tile, kv)

    def steps(self, tile: Tile, kv: torch.Tensor) -> Steps:
        """See ``Tiles.steps``; never yields: transformers' forward cannot be interrupted.

        Example: ``tiles.steps(tile, pool.kv)``
        """
        yield from ()
        return self._forward(tile, kv)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """See ``Tiles.logits``."""
        return self._head.product(hidden)

    def linears(self) -> Iterator[NativeLinear]:
        """See ``Tiles.linears``."""
        return (m for m in self._body.modules() if isinstance(m, NativeLinear))

    def shallow(self) -> tuple[Tiles, int]:
        """See ``Tiles.shallow``: all layers, which may be of several shapes."""
        return self, self._layers

    def _forward(self, tile: Tile, kv: torch.Tensor) -> torch.Tensor:
        assert isinstance(tile, NativeTile)
        ids, positions = tile.token_ids.tolist(), tile.positions.tolist()
        return self._decoder.run(ids, positions, NativeKV(self._kernels, kv, tile))


class ActivationByRow(nn.Module):
    """An activation that sees one row at a time."""

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the function to each row of x, [..., width]."""
        rows = x.reshape(-1, x.shape[-1])
        return torch.stack([self._function(row) for row in rows]).view(x.shape)


class RotaryByRow(nn.Module):
    """A rotary embedding whose cosines and sines are computed one position at a time."""

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__()
        self._embedding = embedding

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the cosines and sines of the positions, [1, M] int64: [1, M, D] each."""
        pairs = [self._embedding(x, at) for at in position_ids.split(1, dim=1)]
        cos, sin = (torch.cat(parts, dim=1) for parts in zip(*pairs, strict=True))
        return cos, sin


_ACTIVATIONS = tuple({cls[0] if isinstance(cls, tuple) else cls for cls in ACT2CLS.values()})


def _replace_modules(module: nn.Module, linear: Callable[[nn.Linear], nn.Module]) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, linear(child))
        elif type(child) in _ACTIVATIONS:
            setattr(module, name, ActivationByRow(child))
        elif type(child).__name__.endswith("RotaryEmbedding"):
            setattr(module, name, RotaryByRow(child))
        else:
            _replace_modules(child, linear)
